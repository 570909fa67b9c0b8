/**
 * The files of a container, for `cp`, `diff`, `export` and `commit`, whether it runs or not.
 *
 * A running container's files appear as its processes see them, volumes included; for a stopped one, its layer and volumes are opened
 * detached. Paths are the container's: a link is resolved inside the container and never leads out of its root, whatever a process inside
 * does meanwhile. No code of the container is run.
 */
import type { Call } from "../call.ts";
import type { PathStat } from "../host.ts";
import type { Change } from "../storage.ts";
import type { ContainerId, Digest, Sparse } from "../words.ts";

export interface FilesService {
  /** A link at the path's end is not followed, unless the path ends with `/` or `/.`. `NotFound`. */
  stat(call: Call, id: ContainerId, path: string): Promise<PathStat>;
  /** A tar of the files at `path`; its first member has the path's last name. */
  read(call: Call, id: ContainerId, path: string): Promise<AsyncIterable<Uint8Array>>;
  /**
   * Extracts a tar below the directory `path`. `InvalidArgument`: the container's root, or the volume there, is read-only. `toUser`: the
   * container's user owns all files (see `ContainersService.userIn`); if it has no user, the archive's owners stay.
   */
  write(
    call: Call,
    id: ContainerId,
    path: string,
    tar: AsyncIterable<Uint8Array>,
    options: Sparse<{ keepKinds: boolean; toUser: boolean }>,
  ): Promise<void>;
  /** The container's changes against its image. */
  changes(call: Call, id: ContainerId): Promise<AsyncIterable<Change>>;
  /** The whole file system as a tar, without mounts below it. */
  export(call: Call, id: ContainerId): Promise<AsyncIterable<Uint8Array>>;
  /** Bytes that the container's own layer takes on disk. */
  size(call: Call, id: ContainerId): Promise<number>;
  /** Makes an image of the container's image and its changes on top; answers the image's id. */
  commit(call: Call, id: ContainerId, options: CommitImage): Promise<Digest>;
}

export type CommitImage = Sparse<{
  /** A reference with or without a tag; left out: the image has no name. */
  reference: string;
  author: string;
  comment: string;
  /** The container is paused while its layer is read. */
  pause: boolean;
  /** Dockerfile instructions that change the config. */
  changes: readonly string[];
  /** Docker's JSON of a config to start from; left out: the container's own. */
  config: Readonly<Record<string, unknown>>;
}>;

declare module "../plugin.ts" {
  interface Services {
    files: FilesService;
  }
}
