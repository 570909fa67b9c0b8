/**
 * A log driver says where the output of containers goes. The container's monitor always writes it to a file of its own, which is bounded
 * and which `logs` reads. There are two sorts of drivers:
 *
 * - With the power `file` the driver is that file: it names the format, and is asked for nothing else (`local`, `json-file`, `none`).
 * - With the power `send` the engine follows the file and sends what it reads to a *sink*: a journal, a syslog server, a collector. The
 *   file is the queue. So a slow, silent or dead sink never delays a container, its end or its removal, and `logs` works with every
 *   driver.
 *
 * Options: `options` names all that the driver knows; `check` refuses an unknown one, or a value that can't be carried out, with
 * `InvalidArgument`. It looks at the options alone, never at the sink, which may be down while a container is created. The engine itself
 * takes `mode`, `max-buffer-size` and the sizes of the file from the options, and what chooses tag and attributes.
 *
 * Life of a sending driver: `open(source)` → `write(id, records)` → … → `close(id)`. A source is one container; it is closed when all of
 * its log is sent and it does not run, and opened again when it runs again. `open` remembers the source; the sink is reached no later than
 * by the first `write`. A second `open` of an open source is `AlreadyExists`; `write` and `close` of one that is not open are `NotFound`.
 * A daemon's death closes all of them: the next daemon opens them again.
 *
 * `write` takes a batch of records in order, and answers when the sink has it, as far as the sink's protocol can say that. If it throws,
 * the engine sends the whole batch again later, backing off; so a sink may get the records of one batch twice, but loses none. A driver
 * never refuses a record for its content: what the sink can't take as it is is escaped or cut into pieces. `Unavailable`: the sink can't
 * be reached, or does not take more now. A `write` ends with its call, whatever the sink does: it holds no connection to a sink that has
 * not taken a whole batch. One source's sink never delays another's.
 *
 * The engine calls one verb at a time for one source, and remembers on disk what a sink has taken, before it sends more.
 *
 * A line that is longer than 16 KiB is several records, whose lines joined are the whole line:
 *
 * ```ts
 * await driver.open(call, { ...source, tag: "web" });
 * await refused(driver.open(call, source), "AlreadyExists");
 * const record = { stream: "stdout", at: "1700000000123456789" };
 * await driver.write(call, source.container, [
 *   { ...record, line: bytes("a line that is too long for "), partial: { id: "5ff2", ordinal: 1, last: false } },
 *   { ...record, line: bytes("one record"), partial: { id: "5ff2", ordinal: 2, last: true } },
 * ]);
 * expect(await received(), "a line that is too long for one record");
 *
 * await driver.close(call, source.container);
 * await refused(driver.write(call, source.container, []), "NotFound");
 * ```
 */
import type { Call } from "./call.ts";
import type { Driver } from "./driver.ts";
import type { ContainerId, Strings } from "./words.ts";

export interface LogDriver extends Driver<LogPowers> {
  /** The names of all options that the driver knows, but for those that the engine takes. */
  readonly options: readonly string[];
  check(call: Call, options: Strings): Promise<void>;
}

export interface LogPowers {
  /** The monitor writes the log in the driver's format, and nothing is sent anywhere. */
  file: { readonly format: "local" | "json-file" | "none" };
  send: LogSender;
}
export interface LogSender {
  open(call: Call, source: LogSource): Promise<void>;
  write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void>;
  /** Waits for nothing: what `write` has answered is with the sink. */
  close(call: Call, container: ContainerId): Promise<void>;
}

export interface LogSource {
  readonly container: ContainerId;
  readonly name: string;
  readonly imageName: string;
  readonly imageId: string;
  /** The option `tag`, filled in; the short id if there is none. */
  readonly tag: string;
  /** The labels and variables of the container that the options `labels`, `labels-regex`, `env` and `env-regex` choose. */
  readonly attributes: Strings;
  /** Those that `options` names; `check` has accepted them. */
  readonly options: Strings;
}

export interface LogRecord {
  readonly stream: "stdout" | "stderr";
  /** Nanoseconds since the epoch, as decimal digits. */
  readonly at: string;
  /** Without its newline: any bytes, 16 KiB at most. */
  readonly line: Uint8Array;
  /** Null: the record is a whole line. */
  readonly partial: LogPartial | null;
}
/** A piece of a line. */
export interface LogPartial {
  /** The same for all pieces of a line. */
  readonly id: string;
  /** From 1 on. */
  readonly ordinal: number;
  readonly last: boolean;
}
