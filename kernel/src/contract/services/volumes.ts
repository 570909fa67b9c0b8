/**
 * Volumes: the engine owns names, labels and users; drivers keep the trees. A volume that a container *claims* (from the container's
 * creation to its removal, whether it runs or not) is never lost: `remove` always refuses it. `mount` and `unmount` follow the container's
 * start and end.
 */
import type { Call } from "../call.ts";
import type { Mount, Usage } from "../storage.ts";
import type { ContainerId, Sparse, Strings } from "../words.ts";

export interface Volume {
  readonly name: string;
  /** The driver's id. */
  readonly driver: string;
  readonly createdAt: number;
  readonly labels: Strings;
  readonly options: Strings;
  /** The user gave it no name. */
  readonly anonymous: boolean;
  /** The path of the tree on the host; "" if the host never sees it. */
  readonly mountpoint: string;
}

export interface VolumesService {
  /**
   * An existing volume of the same driver is the answer; one of another driver is `AlreadyExists`. `name` null: an anonymous volume, named
   * by 64 hex digits. `claim`: that container claims it from the start. `volatile`: after a restart of the host it is removed if no known
   * container claims it.
   */
  create(
    call: Call,
    options: { readonly name: string | null } & Sparse<{
      driver: string;
      options: Strings;
      labels: Strings;
      claim: ContainerId;
      volatile: boolean;
    }>,
  ): Promise<Volume>;
  /** `NotFound` (`get x: no such volume`). */
  get(call: Call, name: string): Promise<Volume>;
  list(call: Call): Promise<readonly Volume[]>;
  /** The containers that claim it. */
  users(call: Call, name: string): Promise<readonly ContainerId[]>;
  /** `Conflict` while a container claims it (`remove x: volume is in use - [id, …]`). `force`: a missing volume is not an error. */
  remove(call: Call, name: string, options: Sparse<{ force: boolean }>): Promise<void>;
  /** Null: the usage can't be determined. */
  usage(call: Call, name: string): Promise<Usage | null>;

  claim(call: Call, name: string, container: ContainerId): Promise<Volume>;
  release(call: Call, name: string, container: ContainerId): Promise<void>;
  /** `details`: attributes of the event, besides the container's id. */
  mount(call: Call, name: string, container: ContainerId, details: Strings): Promise<Mount>;
  /** A volume that is not mounted is not an error. */
  unmount(call: Call, name: string, container: ContainerId): Promise<void>;
  /**
   * Fills an empty volume with the files at `path` below `root` (a host path that stays open), with the directory's owner and mode. If the
   * volume is not empty, or `path` does not exist, nothing happens. After a crash in the middle, the next fill starts again. Answers
   * whether the volume was filled.
   */
  fill(call: Call, name: string, container: ContainerId, root: string, path: string): Promise<boolean>;
  /**
   * After a daemon's death: takes the claims, and which of the containers run, once, before any other verb that names a container. Volumes
   * without a claim are released.
   */
  restore(call: Call, claims: readonly VolumeClaim[]): Promise<void>;
}
export interface VolumeClaim {
  readonly container: ContainerId;
  readonly volume: string;
  readonly running: boolean;
}

declare module "../plugin.ts" {
  interface Services {
    volumes: VolumesService;
  }
}
