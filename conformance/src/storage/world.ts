/** The parts of a storage rule's world: a new driver, its trees through its mounts, and an oracle. */
import type { Call, Change, LayerFile, Mount, StorageDriver } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";
import type { Held } from "./held.ts";
import type { Edit, Tree } from "./tree.ts";

export interface StorageWorld extends BaseWorld {
  readonly driver: StorageDriver;
  readonly call: Call;
  /** Applies edits through mounts; rejects if the mounts are read-only. */
  edit(mounts: readonly Mount[], edits: readonly Edit[]): Promise<void>;
  read(mounts: readonly Mount[]): Promise<Tree>;
  /** The oracle: the same edits, one list after another, on a plain directory. */
  plain(...edits: readonly (readonly Edit[])[]): Promise<Tree>;
  /** The engine dies without cleanup, and a new one opens the same directory: `driver` is another object afterwards. */
  crash(): Promise<void>;
  /** Closes the driver, as an engine that stops. It may be closed again; `crash` opens another one. */
  stop(): Promise<void>;
  /** What the driver holds on the host. */
  held(): Promise<Held>;
  /** The reason why there is no `small` here, or null. */
  readonly whyNotFull: string | null;
  /** Another world on a small disk that can be filled; it is closed with this one. `edits`: of the layer. */
  small(edits: readonly Edit[]): Promise<FullWorld>;
  /** Real files: layers and foreign directories. Null for a driver whose trees are not files. */
  readonly files: WorldFiles | null;
}

export interface FullWorld {
  readonly world: StorageWorld;
  /** A layer on another disk; null: trees are no files here. */
  readonly layer: LayerFile | null;
  /** Leaves no room on the disk. */
  fill(): Promise<void>;
  free(): Promise<void>;
}

export interface WorldFiles {
  /** A directory with these edits that belongs to no engine. */
  directory(edits: readonly Edit[]): Promise<string>;
  readDirectory(path: string): Tree;
  /** The changes of `upper` against `lower`, the slow way: both are mounted and compared. */
  slowDiff(lower: readonly Mount[] | null, upper: readonly Mount[]): Promise<LayerFile>;
  /** Applies a layer to mounts, the slow way. */
  slowApply(mounts: readonly Mount[], layer: LayerFile): Promise<void>;
  /** A full copy of the mounts' tree, with all attributes; answers its path. */
  copy(mounts: readonly Mount[]): Promise<string>;
  /** How the mounts' tree differs from the tree at `lower`, by comparison; sorted by path. */
  slowChanges(lower: string, upper: readonly Mount[]): Promise<readonly Change[]>;
  /** A file for a new layer. */
  newLayer(): LayerFile;
  /**
   * Opens the driver over this world's directory in a separate process, which repeats `verb`, and is killed that many milliseconds after it
   * began. Answers its output (`begin N`, `done N`). Missing if the driver's module is not known.
   */
  kill?: (verb: string, after: number) => Promise<readonly string[]>;
}
