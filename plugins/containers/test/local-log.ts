/** Writes a log of the format `local` as native/shim/src/log.rs does: a head with the end, and the oldest file reused for the next. */
import { closeSync, existsSync, ftruncateSync, openSync, renameSync, writeSync } from "node:fs";
import type { ShimLog } from "@tsbox/kernel";

const headLength = 28;

export class LocalLog {
  readonly #log: ShimLog;
  #file: number;
  #size = 0;
  #time = 1_700_000_000_000_000_000n;

  constructor(log: ShimLog) {
    this.#log = log;
    this.#file = openSync(log.path, "w+");
  }

  write(stream: "stdout" | "stderr", text: string): void {
    const bytes = Buffer.from(text);
    const record = Buffer.alloc(16 + bytes.length + 4);
    record.writeUInt32LE(bytes.length, 0);
    record[4] = stream === "stderr" ? 2 : 1;
    record.writeBigUInt64LE(this.#now(), 8);
    bytes.copy(record, 16);
    record.writeUInt32LE(bytes.length, 16 + bytes.length);
    if (this.#size > headLength && this.#size + record.length > this.#log.maxBytes) this.#rotate();
    if (this.#size === 0) {
      writeSync(this.#file, Buffer.concat([this.#head(BigInt(headLength + record.length)), record]), 0, undefined, 0);
      this.#size = headLength + record.length;
      return;
    }
    writeSync(this.#file, record, 0, undefined, this.#size);
    this.#size += record.length;
    const end = Buffer.alloc(8);
    end.writeBigUInt64LE(BigInt(this.#size));
    writeSync(this.#file, end, 0, 8, 16);
  }

  close(): void {
    closeSync(this.#file);
  }

  #rotate(): void {
    const { path, maxFiles } = this.#log;
    const name = (at: number): string => (at === 0 ? path : `${path}.${at}`);
    if (existsSync(name(maxFiles - 1))) renameSync(name(maxFiles - 1), `${path}.new`);
    for (let at = maxFiles - 1; at > 0; at -= 1) if (existsSync(name(at - 1))) renameSync(name(at - 1), name(at));
    closeSync(this.#file);
    this.#file = openSync(`${path}.new`, existsSync(`${path}.new`) ? "r+" : "w+");
    writeSync(this.#file, this.#head(BigInt(headLength)), 0, undefined, 0);
    if (this.#size === 0) ftruncateSync(this.#file, headLength);
    renameSync(`${path}.new`, path);
    this.#size = headLength;
  }

  #head(end: bigint): Buffer {
    const head = Buffer.alloc(headLength);
    head.writeUInt32LE(8, 0);
    head[4] = 3;
    head.writeBigUInt64LE(this.#now(), 8);
    head.writeBigUInt64LE(end, 16);
    head.writeUInt32LE(8, 24);
    return head;
  }

  #now(): bigint {
    this.#time += 1000n;
    return this.#time;
  }
}
