/**
 * Block devices, for drivers that keep trees on them: the device mapper, loop devices, the size of a file system. No udev is needed: a
 * device's node is made where it is missing, and no call waits for udev.
 *
 * A mapped device has a name, of at most 127 bytes, and a table of one row. It outlives the process that made it.
 */
import type { Call } from "./call.ts";
import type { Usage } from "./storage.ts";
import type { Sparse } from "./words.ts";

export interface HostBlock {
  /** The kinds of targets that this kernel's device mapper knows (`thin-pool`). `Unsupported`: it has no device mapper. */
  mapperTargets(call: Call): Promise<readonly string[]>;
  /**
   * Makes a mapped device, and answers the path of its node. A device that exists by this name is taken as it is: its removal is called
   * off, and it is resumed.
   */
  mapDevice(call: Call, name: string, row: MapperRow, options?: Sparse<{ readOnly: boolean }>): Promise<string>;
  /** Gives a device another row, without a flush: also when the device is full. */
  reloadDevice(call: Call, name: string, row: MapperRow): Promise<void>;
  /** Ends a suspension that a process has left that was killed. */
  resumeDevice(call: Call, name: string): Promise<void>;
  /**
   * Removes a device and its node: at once (`gone`), or when the last user closes it (`later`). A device that does not exist is `gone`.
   */
  unmapDevice(call: Call, name: string): Promise<"gone" | "later">;
  /**
   * Sends a message to a device's target. `suspended`: another device that is suspended meanwhile, with everything on it that was written
   * before.
   */
  messageDevice(call: Call, name: string, message: string, options?: Sparse<{ suspended: string }>): Promise<void>;
  /** Null: there is no such device. */
  mappedDevice(call: Call, name: string): Promise<MappedDevice | null>;
  /** The names of the devices that begin with `prefix`. */
  mappedDevices(call: Call, prefix: string): Promise<readonly string[]>;

  /** Attaches a file to a loop device, which detaches itself when nobody uses it any more. */
  attachLoop(call: Call, file: string): Promise<LoopDevice>;
  /** Lets a loop device go: from now on only its users keep it. */
  releaseLoop(call: Call, loop: LoopDevice): Promise<void>;

  /** Gives all blocks of a device back to what is below it. */
  discardDevice(call: Call, path: string): Promise<void>;
  /** Grows the mounted file system of the directory `root` (ext4, xfs). One of this size or larger stays. */
  growFileSystem(call: Call, root: string, bytes: number): Promise<void>;
  /**
   * Lets the tree at `root` grow by `bytes` and no more, and answers the bytes that it may have in all. `limitTree` was called for it while
   * it was empty, so that all of its files count; `unlimitTree` ends it.
   */
  limitGrowth(call: Call, root: string, bytes: number): Promise<number>;
  /** The space of such a tree, without a walk. `Unsupported`: it was never limited. */
  projectUsage(call: Call, root: string): Promise<Usage>;
}

export interface MapperRow {
  /** The length of the device, in sectors of 512 bytes. */
  readonly sectors: number;
  readonly target: string;
  readonly parameters: string;
}
export interface MappedDevice {
  /** Of its node. */
  readonly path: string;
  /** How many mounts, other devices and processes use it. */
  readonly openCount: number;
  readonly readOnly: boolean;
  readonly suspended: boolean;
  /** Of its row. */
  readonly parameters: string;
  /** The report of its target. */
  readonly status: string;
}
export interface LoopDevice {
  readonly path: string;
  readonly hold: number;
}
