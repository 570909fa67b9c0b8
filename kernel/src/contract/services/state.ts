/** The engine's durable records: small, held in memory for reading, written in one synced transaction a change. */
import type { Call } from "../call.ts";

/** One change of a transaction; `value` null removes the record. Values are data that CBOR can encode. */
export interface StateChange {
  readonly table: StateTable;
  readonly key: string;
  readonly value: unknown;
}
export type StateTable = "containers" | "images" | "tags" | "networks" | "volumes" | "layers";

export interface StateService {
  /** Null: no such record. Answers from memory. */
  get(call: Call, table: StateTable, key: string): Promise<unknown>;
  /** All records of a table, `[key, value]`, sorted by key. */
  list(call: Call, table: StateTable): Promise<readonly (readonly [string, unknown])[]>;
  /** Writes all changes or none; they are on disk when it answers. */
  write(call: Call, changes: readonly StateChange[]): Promise<void>;
  /**
   * True: an older copy of the records was restored. Files that these records do not know may belong to newer containers and images: no
   * sweep removes them at a start, until `acceptRestored`.
   */
  isRestored(call: Call): Promise<boolean>;
  acceptRestored(call: Call): Promise<void>;
}

declare module "../plugin.ts" {
  interface Services {
    state: StateService;
  }
}
