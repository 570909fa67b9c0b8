/**
 * A volume driver keeps named trees that outlive containers. It answers with mounts; who uses a volume, and whether one may go, is the
 * engine's knowledge (the service `volumes`), but a driver, too, refuses to remove what somebody has attached.
 *
 * Living:  `create(name, options)` → `attach(name, user)` → the mount goes into the user's mount namespace → it ends → `detach(name, user)`
 * → … → `remove(name)`. Sharing: many users may have one attached at a time; all see the same tree, and what one writes the others read. A
 * tree that only lives in memory (tmpfs)
 *          lives from the first `attach` to the last `detach`.
 *
 * Names are safe as file names: 2 to 200 of [A-Za-z0-9_.-], a letter or digit first; anything else is `InvalidArgument`, as is an option
 * that the driver does not know or can't take. Unknown is `NotFound`, taken `AlreadyExists`. A refused verb changes nothing.
 *
 * Asked again after a crash: a `create` that was done is `AlreadyExists`, a `remove` that was done is `NotFound`; `attach` and `detach` may
 * be repeated, by the same user, as often as one likes, and a `detach` of what is not attached is no error. Who was attached outlives the
 * daemon, not the host: after a restart of the host nobody is. Durability: the engine's record says that a volume exists. A `create` need
 * not survive a power cut by itself: `attach` is then `NotFound`, and the engine creates it anew. A `remove` is out of sight at once; a
 * crash in the middle of it leaves no volume of that name.
 *
 * Two containers share a volume, and it goes when neither has it:
 *
 * ```ts
 * await driver.create(call, "data", {});
 * await write(await driver.attach(call, "data", first), "index", "hello");
 * expect(await read(await driver.attach(call, "data", second), "index"), "hello");
 *
 * await driver.detach(call, "data", first);
 * await refused(driver.remove(call, "data"), "FailedPrecondition");
 * await driver.detach(call, "data", second);
 * // Nobody has it attached, and what was written is still there.
 * expect(await read(await driver.attach(call, "data", first), "index"), "hello");
 *
 * await driver.detach(call, "data", first);
 * await driver.remove(call, "data");
 * await refused(driver.attach(call, "data", first), "NotFound");
 * ```
 */
import type { Call } from "./call.ts";
import type { Driver } from "./driver.ts";
import type { Mount, Usage } from "./storage.ts";
import type { ContainerId, Strings } from "./words.ts";

export interface VolumeDriver extends Driver<VolumePowers> {
  create(call: Call, name: string, options: Strings): Promise<void>;
  /** `FailedPrecondition` while attached. */
  remove(call: Call, name: string): Promise<void>;
  /**
   * Answers what shows the tree to this user: `target` is null. `FailedPrecondition`: its options can't be carried out on this host now.
   */
  attach(call: Call, name: string, user: ContainerId): Promise<Mount>;
  detach(call: Call, name: string, user: ContainerId): Promise<void>;
  /** What can be told of a volume without attaching it. */
  stat(call: Call, name: string): Promise<VolumeState>;
  /** What its tree takes on disk. `Unsupported`: it can't be known (it lies elsewhere, or nobody has it attached). */
  usage(call: Call, name: string): Promise<Usage>;
  list(call: Call): Promise<AsyncIterable<string>>;
}
export interface VolumeState {
  /** Where the host itself sees the tree, while somebody has it attached; "" where it never does. */
  readonly mountpoint: string;
  readonly users: readonly ContainerId[];
}
export interface VolumePowers {
  /** `create` takes the option "size": bytes, with k, m, g or t behind them; a write beyond is EDQUOT or ENOSPC. */
  quota: unknown;
}
