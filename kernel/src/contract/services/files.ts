/**
 * The files of a container: what `cp`, `diff`, `export` and `commit` work on, whether it runs or not.
 *
 * A running container is seen as its processes see it, volumes included; of one that does not run its layer and volumes are opened
 * detached. Paths are the container's: a link leads where it leads inside, never out of its root, whatever a process inside does meanwhile.
 * No code of the container is run.
 */
import type { Call } from "../call.ts";
import type { PathStat } from "../host.ts";
import type { Change } from "../storage.ts";
import type { ContainerId, Digest, Sparse } from "../words.ts";

export interface FilesService {
  /** A link at the path's end is told, not followed, unless the path ends with `/` or `/.`. `NotFound`. */
  stat(call: Call, id: ContainerId, path: string): Promise<PathStat>;
  /** A tar of what lies at `path`; its first member has the path's last name. */
  read(call: Call, id: ContainerId, path: string): Promise<AsyncIterable<Uint8Array>>;
  /**
   * Lays a tar below the directory `path`. `InvalidArgument` where the container's root, or the volume there, is read-only. `toUser`: all
   * of it becomes the container's user's (see `ContainersService.userIn`), and whose the archive says where there is none.
   */
  write(
    call: Call,
    id: ContainerId,
    path: string,
    tar: AsyncIterable<Uint8Array>,
    options: Sparse<{ keepKinds: boolean; toUser: boolean }>,
  ): Promise<void>;
  /** What the container has changed against its image. */
  changes(call: Call, id: ContainerId): Promise<AsyncIterable<Change>>;
  /** All of it as a tar, without what is mounted below. */
  export(call: Call, id: ContainerId): Promise<AsyncIterable<Uint8Array>>;
  /** Bytes that the container's own layer takes on disk. */
  size(call: Call, id: ContainerId): Promise<number>;
  /** Makes an image of the container's image with what it changed on top; answers the image's id. */
  commit(call: Call, id: ContainerId, options: CommitImage): Promise<Digest>;
}

export type CommitImage = Sparse<{
  /** With a tag, or without; left out: the image has no name. */
  reference: string;
  author: string;
  comment: string;
  /** Its processes are paused while its layer is read. */
  pause: boolean;
  /** Dockerfile instructions that change the config. */
  changes: readonly string[];
  /** Docker's JSON of a config to begin with; left out: the container's own. */
  config: Readonly<Record<string, unknown>>;
}>;

declare module "../plugin.ts" {
  interface Services {
    files: FilesService;
  }
}
