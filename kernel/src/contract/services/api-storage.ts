/** The part of the API for storage drivers: additions of tsbox. */
import type { Call } from "../call.ts";
import type { Sparse } from "../words.ts";
import type { Json, ProgressLine } from "./api-json.ts";

export interface StorageApi {
  /** What each storage driver holds; sizes in bytes. */
  storageList(call: Call): Promise<
    readonly {
      readonly Driver: string;
      /** Whether new containers use it. */
      readonly Default: boolean;
      readonly Layers: number;
      readonly LayersSize: number;
      readonly Containers: number;
      readonly ContainersSize: number;
      /** Layers of containers that have moved to another driver. */
      readonly LeftBehind: number;
      readonly LeftBehindSize: number;
    }[]
  >;
  /** What `storageMigrate` would do: `Layers`, `Containers`, `Bytes`, `WholeBytes`, `ScratchBytes`, `LeftBehindBytes`, `Refusals`. */
  storagePlan(call: Call, from: string, to: string, options: Sparse<{ stop: boolean }>): Promise<Json>;
  storageMigrate(
    call: Call,
    from: string,
    to: string,
    options: Sparse<{ remove: boolean; stop: boolean }>,
  ): Promise<AsyncIterable<ProgressLine>>;
}
