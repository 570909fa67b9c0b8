/**
 * Volumes: names, labels and users are the engine's; drivers keep the trees. A volume that a container *claims* (from its creation to its
 * removal, whether it runs or not) is never lost: `remove` refuses it whatever is asked. `mount` and `unmount` go with the container's
 * running.
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
  /** Nobody gave it a name. */
  readonly anonymous: boolean;
  /** Where the host sees the tree; "" where it never does. */
  readonly mountpoint: string;
}

export interface VolumesService {
  /**
   * A volume that is there already is the answer, when it is of the same driver; else `AlreadyExists`. `name` null: an anonymous one, with
   * 64 hex digits for a name. `claim`: held for that container from the first moment on; `volatile`: when no container that is known claims
   * it after a restart of the host, it goes.
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
  /** Who claims it. */
  users(call: Call, name: string): Promise<readonly ContainerId[]>;
  /** `Conflict` while a container claims it (`remove x: volume is in use - [id, …]`). `force`: what is not there is no error. */
  remove(call: Call, name: string, options: Sparse<{ force: boolean }>): Promise<void>;
  /** Null: it can't be known. */
  usage(call: Call, name: string): Promise<Usage | null>;

  claim(call: Call, name: string, container: ContainerId): Promise<Volume>;
  release(call: Call, name: string, container: ContainerId): Promise<void>;
  /** `details`: for the event, beside the container's id. */
  mount(call: Call, name: string, container: ContainerId, details: Strings): Promise<Mount>;
  /** No error where it is not mounted. */
  unmount(call: Call, name: string, container: ContainerId): Promise<void>;
  /**
   * Fills an empty volume with what lies at `path` below `root` (a host path that stays open), with the directory's own owner and mode.
   * Anything in the volume, or nothing at the path: nothing happens. A fill that a crash broke off is begun anew by the next. Answers
   * whether it was filled.
   */
  fill(call: Call, name: string, container: ContainerId, root: string, path: string): Promise<boolean>;
  /**
   * After a daemon's death: who claims what, and who runs, once, before any other verb of containers. What nobody claims any more is let
   * go.
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
