import { setTimeout as pause } from "node:timers/promises";
import {
  type Call,
  type ContainerId,
  fail,
  type HostToolkit,
  type LogDriver,
  type LogPowers,
  type LogRecord,
  type LogSender,
  type LogSource,
  type Strings,
} from "@tsbox/kernel";
import { entryOf, fieldsOf } from "./entry.ts";

/** Milliseconds between two looks whether journald has room again: it takes 11 entries while it is stopped. */
const roomPause = 20;

export class JournaldDriver implements LogDriver, LogSender {
  readonly powers: readonly (keyof LogPowers)[] = ["send"];
  readonly options: readonly string[] = [];
  readonly #host: HostToolkit;
  readonly #socket: string;
  /** The fields that all entries of a container have. */
  readonly #opened: Map<ContainerId, Buffer> = new Map();

  constructor(host: HostToolkit, socket: string) {
    this.#host = host;
    this.#socket = socket;
  }

  async check(_call: Call, options: Strings): Promise<void> {
    const [key] = Object.keys(options);
    if (key !== undefined) throw fail("InvalidArgument", `unknown log opt '${key}' for journald log driver: it has none of its own`);
  }

  async open(_call: Call, source: LogSource): Promise<void> {
    const { container } = source;
    if (this.#opened.has(container)) throw fail("AlreadyExists", `the log of container ${container} is open already`);
    this.#opened.set(container, fieldsOf(source));
  }

  async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
    const fields = this.#known(container);
    const entries = records.map((record) => entryOf(fields, record));
    for (let sent = 0; sent < entries.length; ) {
      sent += await this.#host.sendDatagrams(call, this.#socket, entries.slice(sent), { asFile: true });
      if (sent === entries.length) return;
      await pause(roomPause, undefined, { signal: call.signal }).catch(() => {
        throw fail("Unavailable", "journald takes no more entries: it is stopped or too slow");
      });
    }
  }

  async close(_call: Call, container: ContainerId): Promise<void> {
    this.#known(container);
    this.#opened.delete(container);
  }

  #known(container: ContainerId): Buffer {
    const fields = this.#opened.get(container);
    if (fields === undefined) throw fail("NotFound", `the log of container ${container} is not open`);
    return fields;
  }
}
