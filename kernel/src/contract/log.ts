/**
 * A log driver sends log lines to a further place. The shim's own log file is always written, bounded and readable; a log driver follows
 * that file, and may lag or fail without harm.
 *
 * Lines are sent while the container writes them, and the stream ends with the container:
 *
 * ```ts
 * const records = async function* () {
 *   yield { stream: "stdout", at: 1, line: bytes("a line that is too long for "), partial: true };
 *   yield { stream: "stdout", at: 1, line: bytes("one record"), partial: false };
 * };
 * await driver.send(call, container, records(), { tag: "web" });
 * ```
 */
import type { Call } from "./call.ts";
import type { Driver } from "./driver.ts";
import type { ContainerId, Strings } from "./words.ts";

export interface LogDriver extends Driver<LogPowers> {
  send(call: Call, container: ContainerId, records: AsyncIterable<LogRecord>, options: Strings): Promise<void>;
}
// biome-ignore lint/suspicious/noEmptyInterface: open, like every kind's powers; a plugin merges its own into it.
export interface LogPowers {}

export interface LogRecord {
  readonly stream: "stdout" | "stderr";
  readonly at: number;
  readonly line: Uint8Array;
  /** The line continues in the next record. */
  readonly partial: boolean;
}
