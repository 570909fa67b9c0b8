import { randomBytes } from "node:crypto";
import { connect, isIP } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import {
  abortReason,
  type Call,
  type ContainerId,
  connectUnix,
  deriveCall,
  fail,
  type LogDriver,
  type LogPowers,
  type LogRecord,
  type LogSender,
  type LogSource,
  SinkStream,
  type SinkStreamOptions,
  type Strings,
} from "@tsbox/kernel";
import { Acknowledgements, batchOf } from "./message.ts";
import { type FluentdOptions, known, parseOptions } from "./options.ts";

interface Opened {
  readonly source: LogSource;
  readonly options: FluentdOptions;
  readonly stream: SinkStream;
  /** The chunk that waits for its acknowledgement. */
  waiting: { readonly chunk: string; done(): void; fail(): void } | null;
}

export class FluentdDriver implements LogDriver, LogSender {
  readonly powers: readonly (keyof LogPowers)[] = ["send"];
  readonly options: readonly string[] = known;
  readonly #opened: Map<ContainerId, Opened> = new Map();

  async check(_call: Call, options: Strings): Promise<void> {
    parseOptions(options);
  }

  async open(_call: Call, source: LogSource): Promise<void> {
    const { container, options } = source;
    if (this.#opened.has(container)) throw fail("AlreadyExists", `the log of container ${container} is open already`);
    const own = parseOptions(Object.fromEntries(known.flatMap((key) => (options[key] === undefined ? [] : [[key, options[key]]]))));
    let answers = new Acknowledgements();
    const stream = new SinkStream({
      address: own.text,
      isAcknowledged: own.isAcknowledged,
      connect: () => {
        answers = new Acknowledgements();
        return connection(own);
      },
      answer: (bytes) => {
        const chunks = answers.push(bytes);
        if (chunks === null) return stream.drop();
        for (const chunk of chunks) if (opened.waiting?.chunk === chunk) opened.waiting.done();
      },
      ended: () => opened.waiting?.fail(),
    });
    const opened: Opened = { source, options: own, stream, waiting: null };
    this.#opened.set(container, opened);
  }

  async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
    const opened = this.#known(container);
    if (records.length === 0) return;
    const { tries, pause: between, writeTimeout } = opened.options;
    for (let tried = 1; ; tried += 1) {
      try {
        return await send(writeTimeout === null ? call : deriveCall(call, { timeout: writeTimeout }), opened, records);
      } catch (error) {
        if (tried >= tries || call.signal.aborted) throw error;
        await pause(between, undefined, { signal: call.signal }).catch(() => {
          throw error;
        });
      }
    }
  }

  async close(_call: Call, container: ContainerId): Promise<void> {
    this.#known(container).stream.close();
    this.#opened.delete(container);
  }

  /** The driver is closed, and all sources with it. */
  end(): void {
    for (const { stream } of this.#opened.values()) stream.close();
    this.#opened.clear();
  }

  #known(container: ContainerId): Opened {
    const opened = this.#opened.get(container);
    if (opened === undefined) throw fail("NotFound", `the log of container ${container} is not open`);
    return opened;
  }
}

async function send(call: Call, opened: Opened, records: readonly LogRecord[]): Promise<void> {
  const { source, stream, options } = opened;
  call.signal.throwIfAborted();
  const chunk = options.isAcknowledged ? randomBytes(16).toString("base64") : null;
  const batch = batchOf(source, records, { isSubSecond: options.isSubSecond, chunk });
  if (chunk === null) return stream.send(call, batch);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Nobody waits for it if sending fails first.
  promise.catch(() => {});
  const abort = (): void => {
    reject(fail("Unavailable", `${options.text} does not acknowledge what it gets`, { cause: abortReason(call.signal.reason) }));
    stream.drop();
  };
  const broken = (): void => reject(fail("Unavailable", `${options.text} closed the connection without an acknowledgement`));
  opened.waiting = { chunk, done: resolve, fail: broken };
  call.signal.addEventListener("abort", abort, { once: true });
  try {
    await stream.send(call, batch);
    await promise;
  } finally {
    call.signal.removeEventListener("abort", abort);
    opened.waiting = null;
  }
}

function connection({ address }: FluentdOptions): ReturnType<SinkStreamOptions["connect"]> {
  if (address.kind === "unix") return { socket: connectUnix(address.path), event: "connect" };
  const { host, port } = address;
  if (address.kind === "tcp") return { socket: connect({ host, port }), event: "connect" };
  return { socket: connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}) }), event: "secureConnect" };
}
