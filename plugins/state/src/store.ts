/**
 * Records in memory for reading and in lmdb for keeping; a value is CBOR that any language reads (no records of cbor-x's own).
 * lmdb's promise of a write resolves at the commit in memory; durable is `flushed`.
 */
import { fail, type StateChange, type StateService, type StateTable } from "@tsbox/kernel";
import { Encoder } from "cbor-x";
import { open } from "lmdb";

/** Raised with every change of a record's shape that an older engine could not read. An older store is migrated here, a newer one refused. */
const formatVersion = 1;

export interface Store {
  readonly service: StateService;
  close(): Promise<void>;
}

// Plain CBOR: no records of cbor-x's own, no tag for maps (an option that its types leave out).
const options = { useRecords: false, useTag259ForMaps: false, mapsAsObjects: true };
const cbor = new Encoder(options);
const keyOf = (table: StateTable, key: string): string => `${table}/${key}`;

export async function openStore(path: string): Promise<Store> {
  const database = open<Buffer, string>({ path, encoding: "binary", noSubdir: true });
  const version = database.get("format");
  if (version === undefined) {
    await database.put("format", cbor.encode(formatVersion));
    await database.flushed;
  } else if (cbor.decode(version) !== formatVersion) {
    await database.close();
    throw fail(
      "FailedPrecondition",
      `${path} has format ${String(cbor.decode(version))}, this engine writes ${formatVersion}: it was made by a newer tsbox; install that one again`,
    );
  }
  const tables = new Map<string, Map<string, unknown>>();
  const table = (name: string): Map<string, unknown> => {
    const found = tables.get(name);
    if (found) return found;
    const made = new Map<string, unknown>();
    tables.set(name, made);
    return made;
  };
  for (const { key, value } of database.getRange()) {
    const at = key.indexOf("/");
    if (at > 0) table(key.slice(0, at)).set(key.slice(at + 1), cbor.decode(value));
  }

  const write = async (changes: readonly StateChange[]): Promise<void> => {
    await database.transaction(() => {
      for (const change of changes) {
        const key = keyOf(change.table, change.key);
        if (change.value === null) database.remove(key);
        else database.put(key, cbor.encode(change.value));
      }
    });
    await database.flushed;
    for (const change of changes) {
      if (change.value === null) table(change.table).delete(change.key);
      else table(change.table).set(change.key, change.value);
    }
  };

  return {
    service: {
      get: (_call, name, key) => Promise.resolve(table(name).get(key) ?? null),
      list: (_call, name) => Promise.resolve([...table(name)].sort(([a], [b]) => (a < b ? -1 : 1))),
      write: (_call, changes) => write(changes),
    },
    close: () => database.close(),
  };
}
