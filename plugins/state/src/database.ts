/**
 * Opens the database file. lmdb maps it into memory and trusts it: a truncated or damaged file kills the process (SIGBUS) without an error
 * message. So a marker file exists while it is being opened. If a start finds the marker, a separate process first opens a copy, and its
 * exit says whether the file is sound.
 */
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { closeSync, copyFileSync, existsSync, openSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { asError, fail } from "@tsbox/kernel";
import { open, type RootDatabase } from "lmdb";
import { unpack, unpackPlain } from "./values.ts";

export type Database = RootDatabase<Buffer, string>;
/** Raised with every change of a record's shape that an older engine could not read. An older store is migrated, a newer one is refused. */
export const formatVersion = 2;
/** Two meta pages and one data page, of the smallest size that lmdb supports. */
const leastBytes = 3 * 256;
/** MDB_meta of liblmdb's mdb.c starts with this number, after the header of the first page. */
const metaOffset = 24;
const magic = 0xbeefc0de;
const checkTimeout = 60_000;

/** The values in the file, by key, and their format. `DataLoss`, `FailedPrecondition`: the file can't be used. */
export interface Contents {
  /** Null: the database is empty. */
  readonly format: number | null;
  readonly values: ReadonlyMap<string, unknown>;
}

export function openDatabase(path: string): Database {
  return open<Buffer, string>({ path, encoding: "binary", noSubdir: true });
}

export function readAll(database: Database): Contents {
  const values = new Map<string, unknown>();
  const stored = database.get("format");
  if (stored === undefined) return { format: null, values };
  // Written as in format 1, so that every engine can read it.
  const format = unpackPlain(stored);
  if (typeof format !== "number") throw fail("DataLoss", "its format is not a number");
  if (format > formatVersion)
    throw fail("FailedPrecondition", `it has format ${format}, this engine knows up to ${formatVersion}: a newer tsbox made it`);
  for (const { key, value } of database.getRange())
    if (key !== "format") values.set(key, format === 1 ? unpackPlain(value) : unpack(key, value));
  return { format, values };
}

/** Throws when the file can't be a database, or when opening it killed the last start. */
export function checkFile(path: string, mark: string): void {
  const { size } = statSync(path);
  if (size < leastBytes) throw fail("DataLoss", size === 0 ? "the file is empty" : `the file is truncated to ${size} bytes`);
  // lmdb also kills the process if this number is wrong.
  const head = Buffer.alloc(metaOffset + 8);
  const file = openSync(path, "r");
  try {
    readSync(file, head, 0, head.length, 0);
  } finally {
    closeSync(file);
  }
  if (head.readUInt32LE(metaOffset) !== magic) throw fail("DataLoss", "the file is no lmdb database, or its first page is damaged");
  if (!existsSync(mark)) return;
  const trial = `${path}.trial`;
  try {
    copyFileSync(path, trial);
    const flags = process.execArgv.filter((flag) => flag.startsWith("--conditions") || flag.startsWith("--disable-warning"));
    const script = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./check.ts" : "./check.js", import.meta.url));
    const ran = spawnSync(process.execPath, [...flags, script, trial], {
      timeout: checkTimeout,
      encoding: "utf8",
      stdio: ["ignore", "ignore", "pipe"],
    });
    if (ran.status === 0) return;
    throw fail(
      "DataLoss",
      ran.signal === null ? (ran.stderr.trim().split("\n").at(-1) ?? "") : `reading it ends the reader (${ran.signal})`,
    );
  } finally {
    for (const left of [trial, `${trial}-lock`]) rmSync(left, { force: true });
  }
}

/** Reads all values, and writes once, which uses the list of free pages. Runs in a separate process. */
export async function tryOut(path: string): Promise<void> {
  const database = openDatabase(path);
  readAll(database);
  await database.put("trial", Buffer.alloc(16));
  await database.flushed;
  await database.close();
}

export async function marked<T>(mark: string, work: () => Promise<T>): Promise<T> {
  writeFileSync(mark, "", { mode: 0o600 });
  try {
    return await work();
  } finally {
    rmSync(mark, { force: true });
  }
}

export const reasonOf = (error: unknown): string => asError(error).message.split("\n")[0] ?? "";
