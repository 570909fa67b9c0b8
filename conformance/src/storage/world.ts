/** What a storage rule may touch: a driver that was never used, its trees through its mounts, and an oracle. */
import type { Call, Change, LayerFile, Mount, StorageDriver } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";
import type { Edit, Tree } from "./tree.ts";

export interface StorageWorld extends BaseWorld {
  readonly driver: StorageDriver;
  readonly call: Call;
  /** Applies edits through mounts; rejects where the mounts are read-only. */
  edit(mounts: readonly Mount[], edits: readonly Edit[]): Promise<void>;
  read(mounts: readonly Mount[]): Promise<Tree>;
  /** The oracle: the same edits, one list after another, on a plain directory. */
  plain(...edits: readonly (readonly Edit[])[]): Promise<Tree>;
  /** The engine dies without a word and a new one opens the same directory: `driver` is another one afterwards. */
  crash(): Promise<void>;
  /** Real files: layers and foreign directories. Null for a driver whose trees are no files. */
  readonly files: WorldFiles | null;
}

export interface WorldFiles {
  /** A directory that no engine owns, with these edits. */
  directory(edits: readonly Edit[]): Promise<string>;
  readDirectory(path: string): Tree;
  /** What `upper` changes against `lower`, by the slow way: both mounted and compared. */
  slowDiff(lower: readonly Mount[] | null, upper: readonly Mount[]): Promise<LayerFile>;
  /** Lays a layer over mounts by the slow way. */
  slowApply(mounts: readonly Mount[], layer: LayerFile): Promise<void>;
  /** A copy of what mounts show, with all that makes up a tree; answers its path. */
  copy(mounts: readonly Mount[]): Promise<string>;
  /** How what mounts show differs from the tree at `lower`, by comparing; in the order of the paths. */
  slowChanges(lower: string, upper: readonly Mount[]): Promise<readonly Change[]>;
  /** Where a new layer may be written. */
  newLayer(): LayerFile;
  /**
   * Opens the driver over this world's directory in a process of its own, which does `verb` over and over, and is killed so many
   * milliseconds after it began. Answers what it said (`begin N`, `done N`). Not there: nobody said where the driver's module is.
   */
  kill?: (verb: string, after: number) => Promise<readonly string[]>;
}
