/**
 * Docker's Engine API as verbs: requests and answers in Docker's own JSON (names, cases and zero values as Docker's documentation of
 * `/v1.51` has them), without HTTP. The HTTP server serves them to other programs, the CLI calls them directly, and the portable CLI has
 * the same interface over a socket.
 */
import type { Call } from "../call.ts";
import type { ShimClient } from "../launcher.ts";
import type { Sparse, Strings } from "../words.ts";
import type { FilesApi } from "./api-files.ts";
import type { Filters, Json, ProgressLine } from "./api-json.ts";
import type { SessionsApi } from "./api-sessions.ts";
import type { StorageApi } from "./api-storage.ts";
import type { Timings } from "./containers.ts";

export interface ApiService extends FilesApi, StorageApi {
  version(call: Call): Promise<Json>;
  info(call: Call): Promise<Json>;
  plugins(call: Call): Promise<readonly Json[]>;
  events(call: Call, options: Sparse<{ since: string; until: string; filters: Filters }>): Promise<AsyncIterable<Json>>;

  /**
   * `starting`: the caller starts the container next, and reports its id to nobody before (`ContainersService.create`); never over HTTP.
   */
  containerCreate(
    call: Call,
    body: Json,
    options: Sparse<{ name: string; platform: string; starting: boolean }>,
  ): Promise<{ readonly Id: string; readonly Warnings: readonly string[] }>;
  /** `client`: a client of this host's launcher, whose descriptors the container gets; never over HTTP. */
  containerStart(
    call: Call,
    id: string,
    options: Sparse<{
      client: ShimClient;
      size: { readonly rows: number; readonly columns: number };
    }>,
  ): Promise<{ readonly started: boolean; readonly timings: Timings; readonly warnings: readonly string[] }>;
  containerStop(call: Call, id: string, options: Sparse<{ timeout: number; signal: string }>): Promise<{ readonly stopped: boolean }>;
  containerRestart(call: Call, id: string, options: Sparse<{ timeout: number; signal: string }>): Promise<void>;
  containerKill(call: Call, id: string, signal: string): Promise<void>;
  containerPause(call: Call, id: string): Promise<void>;
  containerUnpause(call: Call, id: string): Promise<void>;
  containerRename(call: Call, id: string, name: string): Promise<void>;
  containerResize(call: Call, id: string, rows: number, columns: number): Promise<void>;
  containerWait(
    call: Call,
    id: string,
    condition: string,
  ): Promise<{ readonly StatusCode: number; readonly Error: { readonly Message: string } | null }>;
  containerRemove(call: Call, id: string, options: Sparse<{ force: boolean; volumes: boolean }>): Promise<void>;
  containerInspect(call: Call, id: string, options: Sparse<{ size: boolean }>): Promise<Json>;
  containerList(call: Call, options: Sparse<{ all: boolean; limit: number; size: boolean; filters: Filters }>): Promise<readonly Json[]>;
  /** Lines in Docker's frames (8-byte headers), or raw for a container with a terminal. */
  containerLogs(
    call: Call,
    id: string,
    options: Sparse<{
      follow: boolean;
      stdout: boolean;
      stderr: boolean;
      since: string;
      until: string;
      timestamps: boolean;
      details: boolean;
      tail: string;
    }>,
  ): Promise<{ readonly terminal: boolean; readonly frames: AsyncIterable<Uint8Array> }>;

  containerTop(call: Call, id: string, psArgs: string): Promise<Json>;
  /**
   * One object a second while the container runs, empty ones while it does not. `stream` false: only the second object; `oneShot`: only the
   * first.
   */
  containerStats(call: Call, id: string, options: Sparse<{ stream: boolean; oneShot: boolean }>): Promise<AsyncIterable<Json>>;
  containerUpdate(call: Call, id: string, body: Json): Promise<{ readonly Warnings: readonly string[] }>;
  execCreate(call: Call, container: string, body: Json): Promise<{ readonly Id: string }>;
  /** Without an attached client, or with a local client's descriptors (never over HTTP). */
  execStart(
    call: Call,
    exec: string,
    options: Sparse<{ client: ShimClient; size: { readonly rows: number; readonly columns: number } }>,
  ): Promise<void>;
  execResize(call: Call, exec: string, rows: number, columns: number): Promise<void>;
  execInspect(call: Call, exec: string): Promise<Json>;

  imageList(call: Call, options: Sparse<{ all: boolean; filters: Filters; digests: boolean }>): Promise<readonly Json[]>;
  /** `platform`, `platforms` (`OS/ARCHITECTURE[/VARIANT]`): the local image must be for it; otherwise `NotFound`. */
  imageInspect(call: Call, name: string, options?: Sparse<{ platform: string }>): Promise<Json>;
  imageHistory(call: Call, name: string, options?: Sparse<{ platform: string }>): Promise<readonly Json[]>;
  imagePull(
    call: Call,
    name: string,
    options: Sparse<{ tag: string; platform: string; auth: Strings }>,
  ): Promise<AsyncIterable<ProgressLine>>;
  /** `path`: an archive on this host. */
  imageLoad(call: Call, path: string, options?: Sparse<{ platform: string; quiet: boolean }>): Promise<AsyncIterable<ProgressLine>>;
  imageTag(call: Call, name: string, repo: string, tag: string): Promise<void>;
  imageRemove(
    call: Call,
    name: string,
    options: Sparse<{ force: boolean; noprune: boolean; platforms: readonly string[] }>,
  ): Promise<readonly Json[]>;

  networkList(call: Call, options: Sparse<{ filters: Filters }>): Promise<readonly Json[]>;
  networkInspect(call: Call, name: string): Promise<Json>;
  networkCreate(call: Call, body: Json): Promise<{ readonly Id: string; readonly Warning: string }>;
  networkRemove(call: Call, name: string, options?: Sparse<{ force: boolean }>): Promise<void>;
  networkConnect(call: Call, network: string, body: Json): Promise<void>;
  networkDisconnect(call: Call, network: string, body: Json): Promise<void>;
  networkPrune(call: Call, options: Sparse<{ filters: Filters }>): Promise<{ readonly NetworksDeleted: readonly string[] | null }>;

  volumeList(call: Call, options: Sparse<{ filters: Filters }>): Promise<{ readonly Volumes: readonly Json[]; readonly Warnings: null }>;
  volumeInspect(call: Call, name: string): Promise<Json>;
  volumeCreate(call: Call, body: Json): Promise<Json>;
  volumeRemove(call: Call, name: string, options: Sparse<{ force: boolean }>): Promise<void>;
  volumePrune(
    call: Call,
    options: Sparse<{ filters: Filters }>,
  ): Promise<{ readonly VolumesDeleted: readonly string[] | null; readonly SpaceReclaimed: number }>;
}

declare module "../plugin.ts" {
  interface Services {
    api: ApiService & SessionsApi;
  }
}
