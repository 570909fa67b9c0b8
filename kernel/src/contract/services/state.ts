/** The engine's durable records: small, kept whole in memory for reading, written one synced transaction a change. */
import type { Call } from "../call.ts";

/** One change of a transaction; `value` null removes. Values are data that CBOR can carry. */
export interface StateChange {
  readonly table: StateTable;
  readonly key: string;
  readonly value: unknown;
}
export type StateTable = "containers" | "images" | "tags" | "networks" | "volumes" | "layers";

export interface StateService {
  /** Null: no such record. Answers from memory. */
  get(call: Call, table: StateTable, key: string): Promise<unknown>;
  /** All records of a table, `[key, value]`, in order of their keys. */
  list(call: Call, table: StateTable): Promise<readonly (readonly [string, unknown])[]>;
  /** All or nothing, and on disk when it answers. */
  write(call: Call, changes: readonly StateChange[]): Promise<void>;
  /**
   * True: an older copy of the records was put back. What they don't know may be of containers and images that were made since: nobody
   * sweeps it at a start, until `acceptRestored`.
   */
  isRestored(call: Call): Promise<boolean>;
  acceptRestored(call: Call): Promise<void>;
}

declare module "../plugin.ts" {
  interface Services {
    state: StateService;
  }
}
