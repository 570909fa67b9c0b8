/** What moves from one storage driver to another, and what each driver holds. */
import type { ContainerId, Sparse } from "../words.ts";
import type { HeldLayer } from "./images.ts";

/** What one storage driver holds. */
export interface StorageUse {
  readonly id: string;
  /** Whether it is the host's choice for new containers. */
  readonly preferred: boolean;
  readonly layers: Held;
  readonly containers: Held;
  /** Layers of containers that another driver has by now. */
  readonly leftBehind: Held;
}
export interface Held {
  readonly count: number;
  readonly bytes: number;
}

export type MigrationOptions = { readonly from: string; readonly to: string } & Sparse<{
  /** Removes from the driver `from` what the driver `to` has, when all of it is there. */
  remove: boolean;
  /** Stops each running container while it is moved, and starts it again. Without it they are refused. */
  stop: boolean;
}>;

export interface MigrationPlan {
  /** Those that the driver `to` lacks, each after its parent. */
  readonly layers: readonly HeldLayer[];
  readonly containers: readonly { readonly id: ContainerId; readonly name: string; readonly running: boolean; readonly bytes: number }[];
  /** What the driver `to` writes at most, if it shares the blocks of a layer with those above it. */
  readonly bytes: number;
  /** The same, if it keeps each snapshot as a whole copy. */
  readonly wholeBytes: number;
  /** The largest single piece that passes through a file below the root directory. */
  readonly scratchBytes: number;
  /** What stays in the driver `from`, of containers that have moved. */
  readonly leftBehind: Held;
  /** What prevents the migration, a sentence each. */
  readonly refusals: readonly string[];
}
