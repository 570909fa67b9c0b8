/** The shortest implementation of the log contract, with a sink in memory. */
import {
  type Call,
  type ContainerId,
  createCall,
  fail,
  type LogDriver,
  type LogRecord,
  type LogSender,
  type LogSource,
  newContainerId,
  type Strings,
  silentLog,
} from "@tsbox/kernel";
import type { LogWorld, Received } from "../log/world.ts";

export interface MemorySink {
  state: "up" | "down" | "silent";
  readonly received: Received[];
}

export class ReferenceLog implements LogDriver, LogSender {
  readonly powers = ["send"] as const;
  readonly options: readonly string[] = ["address"];
  readonly sink: MemorySink;
  protected readonly sources: Map<ContainerId, LogSource> = new Map();

  constructor(sink: MemorySink) {
    this.sink = sink;
  }

  async check(_call: Call, options: Strings): Promise<void> {
    for (const [key, value] of Object.entries(options)) {
      if (key !== "address") throw fail("InvalidArgument", `unknown log opt '${key}': there is address`);
      if (value !== "memory") throw fail("InvalidArgument", `invalid log option address=${value}: give memory`);
    }
  }

  async open(_call: Call, source: LogSource): Promise<void> {
    if (this.sources.has(source.container)) throw fail("AlreadyExists", `${source.name} is open already`);
    this.sources.set(source.container, source);
  }

  async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
    const source = this.source(container);
    call.signal.throwIfAborted();
    if (this.sink.state === "down") throw fail("Unavailable", "the sink is down: start it");
    if (this.sink.state === "silent")
      await new Promise<never>((_, reject) => call.signal.addEventListener("abort", () => reject(call.signal.reason), { once: true }));
    this.put(source, records);
  }

  async close(_call: Call, container: ContainerId): Promise<void> {
    this.source(container);
    this.sources.delete(container);
  }

  protected put({ tag }: LogSource, records: readonly LogRecord[]): void {
    for (const { line, stream, at } of records)
      this.sink.received.push({ tag, line: Buffer.from(line).toString(), stream, at: Number(BigInt(at) / 1_000_000n) });
  }

  protected source(container: ContainerId): LogSource {
    const source = this.sources.get(container);
    if (source === undefined) throw fail("NotFound", `${container} is not open`);
    return source;
  }
}

export async function makeMemoryLog(open: (sink: MemorySink) => ReferenceLog): Promise<LogWorld> {
  const memory: MemorySink = { state: "up", received: [] };
  let driver = open(memory);
  const to = (state: MemorySink["state"]) => async () => {
    memory.state = state;
  };
  return {
    get driver() {
      return driver;
    },
    get powers() {
      return driver.powers;
    },
    call: createCall(silentLog),
    sink: {
      options: { address: "memory" },
      precision: 1,
      arrival: 200,
      isSure: true,
      received: async () => memory.received,
      stop: to("down"),
      silence: to("silent"),
      start: to("up"),
      close: to("down"),
    },
    source: (more = {}) => {
      const container = newContainerId();
      return {
        container,
        name: "box",
        imageName: "app",
        imageId: "sha256:0",
        tag: `tag-${container.slice(0, 12)}`,
        attributes: {},
        options: { address: "memory" },
        ...more,
      };
    },
    crash: async () => {
      driver = open(memory);
    },
    close: async () => undefined,
  };
}
