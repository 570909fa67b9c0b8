/** Log drivers with one bug each, and the rule that must catch it. */
import { type Call, type ContainerId, fail, type LogRecord, type LogSource, type Strings } from "@tsbox/kernel";
import { type MemorySink, ReferenceLog } from "../reference/log.ts";

export interface BrokenLog {
  readonly bug: string;
  /** The rule that must catch it; others may fail too. */
  readonly rule: string;
  readonly open: (sink: MemorySink) => ReferenceLog;
}

const broken = (bug: string, rule: string, driver: new (sink: MemorySink) => ReferenceLog): BrokenLog => ({
  bug,
  rule,
  open: (sink) => new driver(sink),
});

export const brokenLogs: readonly BrokenLog[] = [
  broken(
    "options that it does not know are dropped in silence",
    "log/option-unknown",
    class extends ReferenceLog {
      override async check(call: Call, { address }: Strings): Promise<void> {
        await super.check(call, address === undefined ? {} : { address });
      }
    },
  ),
  broken(
    "it claims options of the engine's",
    "log/options-own",
    class extends ReferenceLog {
      override readonly options = ["address", "tag"];
    },
  ),
  broken(
    "the check of options asks the sink",
    "log/check-offline",
    class extends ReferenceLog {
      override async check(call: Call, options: Strings): Promise<void> {
        await super.check(call, options);
        if (this.sink.state === "down") throw fail("Unavailable", "the sink is down");
      }
    },
  ),
  broken(
    "a second open takes the place of the first",
    "log/open-twice",
    class extends ReferenceLog {
      override async open(_call: Call, source: LogSource): Promise<void> {
        this.sources.set(source.container, source);
      }
    },
  ),
  broken(
    "what is not open is passed over in silence",
    "log/not-open",
    class extends ReferenceLog {
      override async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
        if (this.sources.has(container)) await super.write(call, container, records);
      }
    },
  ),
  broken(
    "errors come before output",
    "log/order",
    class extends ReferenceLog {
      protected override put(source: LogSource, records: readonly LogRecord[]): void {
        super.put(
          source,
          [...records].sort((a, b) => (a.stream < b.stream ? -1 : a.stream > b.stream ? 1 : 0)),
        );
      }
    },
  ),
  broken(
    "the time is that of the arrival",
    "log/time",
    class extends ReferenceLog {
      protected override put(source: LogSource, records: readonly LogRecord[]): void {
        super.put(
          source,
          records.map((record) => ({ ...record, at: `${Date.now()}000000` })),
        );
      }
    },
  ),
  broken(
    "text that is no UTF-8 is refused",
    "log/content",
    class extends ReferenceLog {
      override async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
        for (const { line } of records) new TextDecoder("utf-8", { fatal: true }).decode(line);
        await super.write(call, container, records);
      }
    },
  ),
  broken(
    "an empty batch is an empty line",
    "log/empty-batch",
    class extends ReferenceLog {
      protected override put(source: LogSource, records: readonly LogRecord[]): void {
        super.put(source, records.length > 0 ? records : [{ stream: "stdout", at: "1000000", line: new Uint8Array(), partial: null }]);
      }
    },
  ),
  broken(
    "all records have the tag of the last source",
    "log/sources-apart",
    class extends ReferenceLog {
      protected override put(_source: LogSource, records: readonly LogRecord[]): void {
        super.put([...this.sources.values()].at(-1) as LogSource, records);
      }
    },
  ),
  broken(
    "of a long line only the last piece comes",
    "log/partial",
    class extends ReferenceLog {
      protected override put(source: LogSource, records: readonly LogRecord[]): void {
        super.put(
          source,
          records.filter(({ partial }) => partial === null || partial.last),
        );
      }
    },
  ),
  broken(
    "a sink that is down loses what it does not get",
    "log/down",
    class extends ReferenceLog {
      override async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
        this.source(container);
        if (this.sink.state !== "down") await super.write(call, container, records);
      }
    },
  ),
  broken(
    "a write waits for its sink, whatever its call says",
    "log/silent",
    class extends ReferenceLog {
      override async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
        while (this.sink.state === "silent") await new Promise((resolve) => setTimeout(resolve, 50).unref());
        await super.write(call, container, records);
      }
    },
  ),
  broken(
    "all sources share one queue",
    "log/waits-alone",
    class extends ReferenceLog {
      #queue: Promise<unknown> = Promise.resolve();
      override async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
        const writing = super.write(call, container, records);
        this.#queue = writing.catch(() => undefined);
        await writing;
      }
      override async close(call: Call, container: ContainerId): Promise<void> {
        await this.#queue;
        await super.close(call, container);
      }
    },
  ),
  broken(
    "what was canceled is sent all the same",
    "log/canceled",
    class extends ReferenceLog {
      override async write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void> {
        if (call.signal.aborted) this.put(this.source(container), records);
        await super.write(call, container, records);
      }
    },
  ),
  broken(
    "sources outlive the daemon",
    "log/crash",
    class extends ReferenceLog {
      override async open(call: Call, source: LogSource): Promise<void> {
        (this.sink as MemorySink & { lasting?: Map<ContainerId, LogSource> }).lasting ??= this.sources;
        await super.open(call, source);
      }
      protected override source(container: ContainerId): LogSource {
        return (this.sink as MemorySink & { lasting?: Map<ContainerId, LogSource> }).lasting?.get(container) ?? super.source(container);
      }
    },
  ),
];
