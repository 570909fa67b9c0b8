/**
 * Records are read from memory and kept in lmdb. lmdb's promise of a write resolves at the commit in memory; the write is durable after
 * `flushed`. A database that can't belong to this root directory is refused and not changed: otherwise everything that its records don't
 * know would be removed as unused.
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fail, isTsboxError, type StateChange, type StateService, type StateTable, withCleanup } from "@tsbox/kernel";
import { keepCopy, wayBack } from "./copies.ts";
import { type Contents, checkFile, type Database, formatVersion, marked, openDatabase, readAll, reasonOf } from "./database.ts";
import { type Generation, readGeneration, writeGeneration } from "./generation.ts";
import { Headroom, roomFor } from "./headroom.ts";
import { pack } from "./values.ts";

export interface Store {
  readonly service: StateService;
  /** An older copy was put back. */
  readonly restored: boolean;
  close(): Promise<void>;
}

/** What the database says about its origin, under the key `engine`. */
interface Origin {
  readonly engine: string;
  readonly generation: number;
}

/** lmdb's limit for a key. */
const longestKey = 1978;

function keyOf(table: StateTable, key: string): string {
  const whole = `${table}/${key}`;
  if (Buffer.byteLength(whole) <= longestKey) return whole;
  throw fail("InvalidArgument", `a name of ${Buffer.byteLength(key)} bytes is too long for the engine's records: choose a shorter one`);
}

/** `directory`: `state` in the engine's root directory. */
export async function openStore(directory: string, engineId: string): Promise<Store> {
  const path = join(directory, "records.lmdb");
  try {
    return await openSound(directory, path, engineId);
  } catch (error) {
    const code = isTsboxError(error) ? error.code : "DataLoss";
    throw fail(code, `the engine's records (${path}) can't be used: ${reasonOf(error)}; ${wayBack(path)}`, { path, cause: error });
  }
}

async function openSound(directory: string, path: string, engineId: string): Promise<Store> {
  const before = readGeneration(directory);
  const exists = existsSync(path);
  const mark = join(directory, "opening");
  if (exists) checkFile(path, mark);
  else {
    refuseMissing(directory, before);
    await makeNew(path, engineId);
  }
  return marked(mark, () =>
    withCleanup(async (cleanup) => {
      const database = openDatabase(path);
      cleanup.undo(() => database.close());
      for (const file of [path, `${path}-lock`]) if (existsSync(file)) chmodSync(file, 0o600);
      const contents = readAll(database);
      if (contents.format === null) throw fail("DataLoss", "it holds nothing");
      const origin = originOf(contents, engineId, before);
      const holds = digestOf(contents);
      const wanted = exists && holds !== before?.copied;
      // On a full disk the next start makes the copy.
      const isKept = !wanted || (await roomFor(keepCopy(path, (to) => database.backup(to, true))));
      const copied = isKept ? holds : (before?.copied ?? "");
      const restored = before !== null && (before.restored || origin.generation < before.number);
      const number = Math.max(origin.generation, before?.number ?? 0) + 1;
      await bringUp(database, contents, { engine: engineId, generation: number });
      const generation: Generation = { engine: engineId, number, copied, restored };
      const isWritten = await roomFor(writeGeneration(directory, generation));
      // Without the file the next start still recognises these records. Only the fact that a copy was put back would be lost.
      if (!isWritten && restored && before?.restored !== true)
        throw fail("ResourceExhausted", "the disk is full, so that it can't be noted that a copy was put back; make room first");
      return storeOf(database, contents, directory, generation);
    }),
  );
}

/** Creates the file completely or not at all: an empty database would be refused. */
async function makeNew(path: string, engine: string): Promise<void> {
  const making = `${path}.making`;
  for (const left of [making, `${making}-lock`]) rmSync(left, { force: true });
  const database = openDatabase(making);
  try {
    await bringUp(database, { format: formatVersion, values: new Map() }, { engine, generation: 0 });
  } finally {
    await database.close();
  }
  renameSync(making, path);
  rmSync(`${making}-lock`, { force: true });
}

/** A new engine has no records. An engine that has chosen its drivers or numbered its starts is not new. */
function refuseMissing(directory: string, before: Generation | null): void {
  const choices = join(dirname(directory), "drivers.json");
  if (before === null && !existsSync(choices)) return;
  throw fail(
    "DataLoss",
    `the file is missing, and this is no new engine (which has no ${before === null ? choices : join(directory, "generation.json")})`,
  );
}

function originOf(contents: Contents, engineId: string, before: Generation | null): Origin {
  const origin = (contents.values.get("engine") ?? null) as Origin | null;
  if (origin === null) {
    // A new database, or one of an earlier format, which had no number.
    if (contents.format !== formatVersion) return { engine: engineId, generation: 0 };
    throw fail("DataLoss", "it does not say which engine's it is");
  }
  if (origin.engine !== engineId || (before !== null && before.engine !== engineId))
    throw fail("FailedPrecondition", `it is of the engine ${origin.engine}, and this one is ${engineId}`);
  return origin;
}

/** Converts the records to this format and writes the number of this start, in one transaction. */
async function bringUp(database: Database, contents: Contents, origin: Origin): Promise<void> {
  await database.transaction(() => {
    // The transaction's commit includes these writes.
    if (contents.format !== formatVersion) for (const [key, value] of contents.values) void database.put(key, pack(key, value));
    void database.put("format", Buffer.from([formatVersion]));
    void database.put("engine", pack("engine", origin));
  });
  await database.flushed;
}

/** The digest of all records, independent of the format and without the number. */
function digestOf({ values }: Contents): string {
  const hash = createHash("sha256");
  for (const [key, value] of values) if (key !== "engine") hash.update(pack(key, value));
  return hash.digest("hex");
}

function storeOf(database: Database, contents: Contents, directory: string, generation: Generation): Store {
  const tables = new Map<string, Map<string, unknown>>();
  const table = (name: string): Map<string, unknown> => {
    const found = tables.get(name);
    if (found) return found;
    const made = new Map<string, unknown>();
    tables.set(name, made);
    return made;
  };
  for (const [key, value] of contents.values) {
    const at = key.indexOf("/");
    if (at > 0) table(key.slice(0, at)).set(key.slice(at + 1), value);
  }
  let { restored } = generation;

  const headroom = new Headroom(join(directory, "records.lmdb"), () => {
    const { lastPageNumber, pageSize } = database.getStats() as { readonly lastPageNumber: number; readonly pageSize: number };
    return (lastPageNumber + 1) * pageSize;
  });

  const write = async (changes: readonly StateChange[]): Promise<void> => {
    if (changes.some(({ table: name, key, value }) => value !== null && !table(name).has(key))) headroom.admit();
    const keyed = changes.map(({ table: name, key, value }) => ({ key: keyOf(name, key), value }));
    await database.transaction(() => {
      for (const { key, value } of keyed) {
        if (value === null) void database.remove(key);
        else void database.put(key, pack(key, value));
      }
    });
    await database.flushed;
    for (const change of changes) {
      if (change.value === null) table(change.table).delete(change.key);
      else table(change.table).set(change.key, change.value);
    }
  };

  return {
    restored,
    service: {
      get: (_call, name, key) => Promise.resolve(table(name).get(key) ?? null),
      list: (_call, name) => Promise.resolve([...table(name)].sort(([a], [b]) => (a < b ? -1 : 1))),
      write: (_call, changes) => write(changes),
      isRestored: () => Promise.resolve(restored),
      acceptRestored: async () => {
        if (restored) await writeGeneration(directory, { ...generation, restored: false });
        restored = false;
      },
    },
    close: async () => {
      headroom.close();
      await database.close();
    },
  };
}
