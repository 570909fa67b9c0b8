/** The part of the API that is about files, archives of images, and space. */
import type { Call } from "../call.ts";
import type { Sparse, Strings } from "../words.ts";
import type { Filters, Json, ProgressLine } from "./api-json.ts";

export interface FilesApi {
  /** What `X-Docker-Container-Path-Stat` holds: name, size, mode (Go's os.FileMode), mtime, linkTarget. */
  containerPathStat(call: Call, id: string, path: string): Promise<Json>;
  containerArchive(call: Call, id: string, path: string): Promise<{ readonly stat: Json; readonly tar: AsyncIterable<Uint8Array> }>;
  containerExtract(
    call: Call,
    id: string,
    path: string,
    tar: AsyncIterable<Uint8Array>,
    options: Sparse<{ noOverwriteDirNonDir: boolean; copyUIDGID: boolean }>,
  ): Promise<void>;
  containerChanges(call: Call, id: string): Promise<readonly Json[]>;
  containerExport(call: Call, id: string): Promise<AsyncIterable<Uint8Array>>;
  containerCommit(
    call: Call,
    id: string,
    body: Json | null,
    options: Sparse<{ repo: string; tag: string; comment: string; author: string; pause: boolean; changes: readonly string[] }>,
  ): Promise<{ readonly Id: string }>;
  containerPrune(call: Call, options: Sparse<{ filters: Filters }>): Promise<Json>;

  /** A root file system as an image. `source`: a file on this host or a URL. */
  imageImport(
    call: Call,
    source: string,
    options: Sparse<{ repo: string; tag: string; message: string; platform: string; changes: readonly string[]; shown: string }>,
  ): Promise<AsyncIterable<ProgressLine>>;
  imageSave(
    call: Call,
    names: readonly string[],
    options: Sparse<{ platform: string; materialize: boolean }>,
  ): Promise<AsyncIterable<Uint8Array>>;
  imagePrune(call: Call, options: Sparse<{ filters: Filters }>): Promise<Json>;

  systemDiskUsage(call: Call, options: Sparse<{ types: readonly string[] }>): Promise<Json>;
  /** tsbox's own. `auths`: an AuthConfig for each registry that the caller has a login at. */
  systemCheck(
    call: Call,
    options: Sparse<{ repair: boolean; auths: Readonly<Record<string, Strings>> }>,
  ): Promise<{
    readonly Findings: readonly {
      readonly What: string;
      readonly Cure: string;
      readonly Mended: boolean;
      /** Where the repair pulls from; null: nowhere. */
      readonly Registry: string | null;
    }[];
  }>;
}
