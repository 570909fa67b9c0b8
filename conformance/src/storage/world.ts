/** What a storage rule may touch: a driver that was never used, its trees through its mounts, and an oracle. */
import type { Call, LayerFile, Mount, StorageDriver } from "@tsbox/kernel";
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
  /** Where a new layer may be written. */
  newLayer(): LayerFile;
}
