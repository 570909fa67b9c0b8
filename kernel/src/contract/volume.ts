/**
 * A volume driver keeps named trees that outlive containers. It answers with mounts. The engine (the service `volumes`) knows who uses a
 * volume, and whether it may be removed; a driver also refuses to remove an attached volume.
 *
 * - Life: `create(name, options)` → `attach(name, user)` → the mount goes into the user's mount namespace → the user ends → `detach(name,
 *   user)` → … → `remove(name)`.
 * - Sharing: many users may have a volume attached at a time; all see the same tree, and each reads what the others write. A tree in memory
 *   (tmpfs) lives from the first `attach` to the last `detach`.
 *
 * Names are safe as file names: 2 to 200 of [A-Za-z0-9_.-], a letter or digit first; anything else is `InvalidArgument`, as is an option
 * that the driver does not know or can't carry out. An unknown name is `NotFound`, a taken one `AlreadyExists`. A refused verb changes
 * nothing.
 *
 * Repetition after a crash: a finished `create` is `AlreadyExists`, a finished `remove` is `NotFound`; the same user may repeat `attach`
 * and `detach` any number of times, and a `detach` of a volume that is not attached is no error. Attachments outlive the daemon, but not
 * the host: after a restart of the host there are none. Durability: the engine's record says that a volume exists. A `create` need not
 * survive a power cut by itself: `attach` is then `NotFound`, and the engine creates it again. A `remove` hides the volume at once; a crash
 * in the middle of it leaves no volume of that name.
 *
 * Two containers share a volume, which is removed when neither uses it:
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
   * Answers the mount that shows the tree to this user; its `target` is null. `FailedPrecondition`: its options can't be carried out on
   * this host now.
   */
  attach(call: Call, name: string, user: ContainerId): Promise<Mount>;
  detach(call: Call, name: string, user: ContainerId): Promise<void>;
  /** The state of a volume, without attaching it. */
  stat(call: Call, name: string): Promise<VolumeState>;
  /** The space of its tree on disk. `Unsupported`: it can't be determined (the tree is elsewhere, or not attached). */
  usage(call: Call, name: string): Promise<Usage>;
  list(call: Call): Promise<AsyncIterable<string>>;
}
export interface VolumeState {
  /** The path of the tree on the host, while it is attached; "" if the host never sees it. */
  readonly mountpoint: string;
  readonly users: readonly ContainerId[];
}
export interface VolumePowers {
  /** `create` takes the option "size": bytes, or a number with the suffix k, m, g or t; a write beyond it is EDQUOT or ENOSPC. */
  quota: unknown;
}
