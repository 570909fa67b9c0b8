/**
 * Reads the log of a container in batches of records, each with the position behind it, from a position that an earlier daemon may have
 * written. It holds one batch in memory: the files are the queue.
 */
import { type FileHandle, stat } from "node:fs/promises";
import type { LogRecord, ShimLog } from "@tsbox/kernel";
import { local, placedEntries } from "../logs/local.ts";
import { longestRecord, type Opened, openAll } from "../logs/read.ts";
import { type Cut, Cutter, type PlacedEntry } from "./cutter.ts";
import type { Place, Position } from "./position.ts";

export interface Batch {
  readonly records: readonly LogRecord[];
  readonly after: Position;
}
/** Output that the container wrote before this time (nanoseconds since the epoch) was rotated away before it was read; null: unknown. */
export type Lost = (before: bigint | null) => void;

const mostRecords = 500;
const mostBytes = 64 << 10;
const block = 64 << 10;

export class Reader {
  readonly #log: ShimLog;
  readonly #lost: Lost;
  #cutter = new Cutter();
  #file: FileHandle | null = null;
  #generation: bigint | null = null;
  #offset = 0;
  #entries: PlacedEntry[] = [];
  #cuts: Generator<Cut> | null = null;
  #places: { stdout: Place; stderr: Place } | null = null;
  #first: Position | null = null;
  /** From where on a stream was not sent, in the file that is read or a later one. */
  #resume: { stdout: Place | null; stderr: Place | null } = { stdout: null, stderr: null };

  constructor(log: ShimLog, lost: Lost) {
    this.#log = log;
    this.#lost = lost;
  }

  /** Where the first entry was that was ever read. Null: there was none. */
  get first(): Position | null {
    return this.#first;
  }

  /** Null: there is nothing more at present. */
  async next(): Promise<Batch | null> {
    const records: LogRecord[] = [];
    let bytes = 0;
    while (records.length < mostRecords && bytes < mostBytes) {
      const cut = this.#cuts?.next();
      if (cut !== undefined && cut.done !== true) {
        this.#take(cut.value);
        records.push(cut.value.record);
        bytes += cut.value.record.line.length;
        continue;
      }
      this.#cuts = null;
      const entry = this.#entries.shift() ?? (await this.#fill());
      if (entry === null) break;
      if (entry !== "read") this.#begin(entry);
    }
    return this.#batch(records);
  }

  /** The lines without a newline, when the container writes no more. */
  rest(): Batch | null {
    const records: LogRecord[] = [];
    for (const cut of this.#cutter.rest()) {
      this.#take(cut);
      records.push(cut.record);
    }
    return this.#batch(records);
  }

  /** Continues at this position; null: at the beginning of the log. */
  async seek(position: Position | null): Promise<void> {
    await this.close();
    const files = await openAll(this.#log, local);
    const at = (place: Place | undefined): number =>
      files.findIndex(({ generation }) => place !== undefined && generation === place.generation);
    const known = [position?.stdout, position?.stderr].filter((place) => at(place) >= 0) as Place[];
    const [first] = known.sort((a, b) => at(a) - at(b) || a.entry - b.entry);
    if (position !== null && first === undefined) this.#lost(files[0]?.generation ?? null);
    const index = first === undefined ? 0 : at(first);
    const keep = (place: Place | undefined): Place | null => (place !== undefined && at(place) >= 0 ? place : null);
    this.#resume = { stdout: keep(position?.stdout), stderr: keep(position?.stderr) };
    this.#places = position === null ? null : { stdout: position.stdout, stderr: position.stderr };
    await this.#use(files, index);
    if (first !== undefined) this.#offset = first.entry;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    [this.#generation, this.#offset, this.#entries, this.#cuts] = [null, 0, [], null];
    this.#cutter = new Cutter();
    await file?.close();
  }

  #batch(records: readonly LogRecord[]): Batch | null {
    return records.length === 0 || this.#places === null ? null : { records, after: { ...this.#places } };
  }

  #take({ record, end }: Cut): void {
    this.#places ??= { stdout: end, stderr: end };
    this.#places[record.stream] = end;
  }

  /** Begins to cut an entry, without what an earlier daemon has sent. */
  #begin(entry: PlacedEntry): void {
    const { stream, place } = entry;
    this.#first ??= { stdout: place, stderr: place };
    // Without a line that has begun, all before this entry is done.
    for (const each of ["stdout", "stderr"] as const)
      if (this.#places !== null && this.#resume[each] === null && !this.#cutter.isOpen(each)) this.#places[each] = place;
    this.#places ??= { stdout: place, stderr: place };
    const resume = this.#resume[stream];
    if (resume !== null && (resume.generation !== place.generation || resume.entry > place.entry)) return;
    this.#resume[stream] = null;
    if (resume === null || resume.entry < place.entry) this.#cuts = this.#cutter.push(entry);
    else this.#cuts = this.#cutter.push({ ...entry, bytes: entry.bytes.subarray(resume.done), place: resume });
  }

  /** `read`: there may be entries now. Null: there is nothing more at present. */
  async #fill(): Promise<"read" | null> {
    if (this.#file === null) await this.#use(await openAll(this.#log, local), 0);
    if (this.#file === null) return null;
    if (await this.#readOn(this.#file)) return "read";
    return (await this.#advance()) ? "read" : null;
  }

  /** Whether there were new entries. */
  async #readOn(file: FileHandle): Promise<boolean> {
    for (let size = block; size <= longestRecord * 2; size *= 2) {
      const { generation, end } = await local.extent(file);
      this.#generation ??= generation;
      const length = Math.min(size, end - this.#offset);
      if (generation !== this.#generation || generation === null || length <= 0) return false;
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, this.#offset);
      if ((await local.extent(file)).generation !== generation) return false;
      const { entries, taken } = placedEntries(buffer.subarray(0, bytesRead));
      const from = this.#offset;
      this.#entries = entries.map(({ at, ...entry }) => ({ ...entry, place: { generation, entry: from + at, done: 0 } }));
      this.#offset += taken;
      if (taken > 0) return true;
      if (length < size) return false;
    }
    return false;
  }

  /** Goes on to the next file, if the log was rotated. */
  async #advance(): Promise<boolean> {
    const [own, present] = await Promise.all([this.#file?.stat(), stat(this.#log.path).catch(() => null)]);
    const isOverwritten = this.#file !== null && (await local.extent(this.#file)).generation !== this.#generation;
    if (!isOverwritten && (present === null || present.ino === own?.ino)) return false;
    const files = await openAll(this.#log, local);
    const index = files.findIndex(({ generation }) => generation !== null && generation === this.#generation);
    // What was written between the last look and the rotation.
    if (this.#file !== null && !isOverwritten && (await this.#readOn(this.#file))) {
      await closeAll(files);
      return true;
    }
    if (index < 0) this.#lost(files[0]?.generation ?? null);
    // What was sent of the files before is behind the reader now.
    const later = new Set(files.slice(index + 1).map(({ generation }) => generation));
    for (const stream of ["stdout", "stderr"] as const)
      if (!later.has(this.#resume[stream]?.generation ?? null)) this.#resume[stream] = null;
    if (files.length === index + 1) {
      await closeAll(files);
      return false;
    }
    await this.#use(files, index + 1);
    return true;
  }

  /** Takes one of the files as the one that is read, and closes the others. */
  async #use(files: readonly Opened[], index: number): Promise<void> {
    const chosen = files[index];
    const before = this.#file;
    await closeAll(files.filter((each) => each !== chosen));
    this.#file = chosen?.file ?? null;
    this.#generation = chosen?.generation ?? null;
    this.#offset = 0;
    await before?.close();
  }
}

async function closeAll(files: readonly Opened[]): Promise<void> {
  for (const { file } of files) await file.close();
}
