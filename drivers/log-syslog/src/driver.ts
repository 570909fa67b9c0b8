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
import { type Frame, messageOf } from "./format.ts";
import { known, parseOptions } from "./options.ts";
import { makeSender, type Sender } from "./sender.ts";

interface Opened {
  readonly frame: Frame;
  readonly sender: Sender;
}

export class SyslogDriver implements LogDriver, LogSender {
  readonly powers: readonly (keyof LogPowers)[] = ["send"];
  readonly options: readonly string[] = known;
  readonly #host: HostToolkit;
  readonly #opened: Map<ContainerId, Opened> = new Map();

  constructor(host: HostToolkit) {
    this.#host = host;
  }

  async check(_call: Call, options: Strings): Promise<void> {
    parseOptions(options);
  }

  async open(_call: Call, { container, tag, options }: LogSource): Promise<void> {
    if (this.#opened.has(container)) throw fail("AlreadyExists", `the log of container ${container} is open already`);
    const own = parseOptions(Object.fromEntries(known.flatMap((key) => (options[key] === undefined ? [] : [[key, options[key]]]))));
    const { format, facility, address } = own;
    const isCounted = address.kind === "tls" && format.startsWith("rfc5424");
    this.#opened.set(container, { frame: { format, facility, tag, isCounted }, sender: makeSender(this.#host, own) });
  }

  async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
    const { frame, sender } = this.#known(container);
    call.signal.throwIfAborted();
    if (records.length > 0)
      await sender.send(
        call,
        records.map((record) => messageOf(frame, record)),
      );
  }

  async close(_call: Call, container: ContainerId): Promise<void> {
    this.#known(container).sender.close();
    this.#opened.delete(container);
  }

  /** The driver is closed, and all sources with it. */
  end(): void {
    for (const { sender } of this.#opened.values()) sender.close();
    this.#opened.clear();
  }

  #known(container: ContainerId): Opened {
    const opened = this.#opened.get(container);
    if (opened === undefined) throw fail("NotFound", `the log of container ${container} is not open`);
    return opened;
  }
}
