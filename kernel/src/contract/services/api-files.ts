/** The part of the API for files, image archives and disk space. */
import type { Call } from "../call.ts";
import type { Sparse, Strings } from "../words.ts";
import type { Filters, Json, ProgressLine } from "./api-json.ts";

export interface FilesApi {
  /** The fields of `X-Docker-Container-Path-Stat`: name, size, mode (Go's os.FileMode), mtime, linkTarget. */
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

  /** Imports a root file system as an image. `source`: a file on this host or a URL. */
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
  /** An addition of tsbox. `auths`: an AuthConfig for each registry at which the caller has a login. */
  systemCheck(
    call: Call,
    options: Sparse<{ repair: boolean; auths: Readonly<Record<string, Strings>> }>,
  ): Promise<{
    readonly Findings: readonly {
      readonly What: string;
      readonly Cure: string;
      readonly Mended: boolean;
      /** The registry that the repair pulls from; null: it pulls nothing. */
      readonly Registry: string | null;
    }[];
  }>;
}
