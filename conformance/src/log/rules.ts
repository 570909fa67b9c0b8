/** The rules of the log contract, one for each promise. */
import { setTimeout as pause } from "node:timers/promises";
import { createCall, deriveCall, isTsboxError, type LogPartial, type LogRecord, silentLog } from "@tsbox/kernel";
import { expect, expectCode, type Rule } from "../rule.ts";
import type { LogWorld, Received } from "./world.ts";

/** Milliseconds that records have to arrive, and that a driver has to end a call whose signal has aborted. */
const arrival = 15_000;
const grace = 5_000;
const start = 1_700_000_000_123_456_789n;

const noSink = ({ sink }: LogWorld): string | null =>
  sink === null ? "the suite has no sink for this driver: give one with the library" : null;

const record = (
  line: string | Uint8Array,
  at = 0,
  stream: LogRecord["stream"] = "stdout",
  partial: LogPartial | null = null,
): LogRecord => ({
  stream,
  at: String(start + BigInt(at) * 1_000_000n),
  line: typeof line === "string" ? Buffer.from(line) : line,
  partial,
});

/** What came of this tag, when it fits or the time is over. */
async function arrived({ sink }: LogWorld, tag: string, fits: (lines: readonly Received[]) => boolean): Promise<readonly Received[]> {
  const until = Date.now() + (sink?.arrival ?? arrival);
  for (;;) {
    const own = (await sink?.received())?.filter((each) => each.tag === tag) ?? [];
    if (fits(own) || Date.now() > until) return own;
    await pause(20);
  }
}
async function lines(world: LogWorld, tag: string, wanted: readonly string[]): Promise<void> {
  const found = (await arrived(world, tag, ({ length }) => length >= wanted.length)).map(({ line }) => line);
  same(found, wanted, "the sink has");
}
const same = (found: unknown, wanted: unknown, what: string): void =>
  expect(
    JSON.stringify(found) === JSON.stringify(wanted),
    `${what} ${JSON.stringify(found).slice(0, 300)} instead of ${JSON.stringify(wanted).slice(0, 300)}`,
  );

/** Whether it ends in time. */
async function inTime(work: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const timer = new AbortController();
  const ended = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([ended, pause(milliseconds, false, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}

export const logRules: readonly Rule<LogWorld>[] = [
  {
    id: "log/one-sort",
    contract: "There are two sorts of drivers",
    title: "a driver has the power file or the power send, and not both",
    async run({ powers, driver }) {
      expect(powers.includes("file") !== powers.includes("send"), `it has ${powers.join(", ") || "none"}`);
      if (powers.includes("file")) {
        const format: unknown = Reflect.get(driver, "format");
        expect(
          ["local", "json-file", "none"].some((known) => known === format),
          `the monitor has no format ${String(format)}`,
        );
      }
    },
  },
  {
    id: "log/options-own",
    contract: "The engine itself",
    title: "the driver's options are names of its own, not those that the engine takes",
    async run({ driver, powers }) {
      const taken = ["mode", "max-buffer-size", "tag", "labels", "labels-regex", "env", "env-regex"];
      const both = powers.includes("send") ? [...taken, "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"] : taken;
      expect(Array.isArray(driver.options) && driver.options.every((name) => typeof name === "string"), "options is no list of names");
      const wrong = driver.options.find((name) => both.includes(name));
      expect(wrong === undefined, `the engine takes ${wrong}`);
    },
  },
  {
    id: "log/option-unknown",
    contract: "LogDriver.check",
    title: "an option that the driver does not know is InvalidArgument",
    run: ({ driver, call }) => expectCode(driver.check(call, { "tsbox-conformance-nonsense": "1" }), "InvalidArgument"),
  },
  {
    id: "log/check-without-options",
    contract: "LogDriver.check",
    title: "no options are in order",
    run: ({ driver, call }) => driver.check(call, {}),
  },
  {
    id: "log/check-offline",
    contract: "never at the sink",
    title: "options are checked and a source is opened while the sink is down",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call, sink } = world;
      await sink?.stop();
      await driver.check(call, sink?.options ?? {});
      await driver.open(call, world.source());
    },
  },
  {
    id: "log/open-twice",
    contract: "A second `open` of an open source is `AlreadyExists`",
    title: "a source that is open is AlreadyExists, and stays what it was",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call } = world;
      const source = world.source();
      await driver.open(call, source);
      await expectCode(driver.open(call, { ...source, tag: "another" }), "AlreadyExists");
      await driver.write(call, source.container, [record("one")]);
      await lines(world, source.tag, ["one"]);
    },
  },
  {
    id: "log/not-open",
    contract: "of one that is not open are `NotFound`",
    title: "a source that is not open, or not any more, is NotFound for write and close",
    needs: ["send"],
    async run(world) {
      const { driver, call } = world;
      const source = world.source();
      await expectCode(driver.write(call, source.container, [record("one")]), "NotFound");
      await expectCode(driver.close(call, source.container), "NotFound");
      await driver.open(call, source);
      await driver.close(call, source.container);
      await expectCode(driver.write(call, source.container, []), "NotFound");
      await expectCode(driver.close(call, source.container), "NotFound");
    },
  },
  {
    id: "log/order",
    contract: "takes a batch of records in order",
    title: "records come in their order, each with its stream",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call } = world;
      const source = world.source();
      await driver.open(call, source);
      const streams = ["stdout", "stderr"] as const;
      const all = Array.from({ length: 40 }, (_, at) => record(`line ${at}`, at, streams[Math.floor(at / 3) % 2]));
      await driver.write(call, source.container, all.slice(0, 15));
      await driver.write(call, source.container, all.slice(15));
      await driver.close(call, source.container);
      const found = await arrived(world, source.tag, ({ length }) => length >= all.length);
      same(
        found.map(({ line, stream }) => [line, stream]),
        all.map(({ line, stream }) => [Buffer.from(line).toString(), stream]),
        "the sink has",
      );
    },
  },
  {
    id: "log/time",
    contract: "LogRecord.at",
    title: "a record has the time at which it was written, not that of its arrival",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call, sink } = world;
      const source = world.source();
      await driver.open(call, source);
      const at = Date.now() - 3_600_000;
      await driver.write(call, source.container, [{ ...record("an hour ago"), at: `${at}654321` }]);
      const [found] = await arrived(world, source.tag, ({ length }) => length > 0);
      const off = Math.abs((found?.at ?? 0) - at);
      expect(off <= (sink?.precision ?? 0), `it is ${off} ms off`);
    },
  },
  {
    id: "log/content",
    contract: "never refuses a record for its content",
    title: "any bytes are taken: none, all values, text that is no UTF-8, the longest line, what looks like the protocol",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call } = world;
      const source = world.source();
      await driver.open(call, source);
      const values = Uint8Array.from({ length: 255 }, (_, at) => (at < 10 ? at : at + 1));
      const odd = [new Uint8Array(), values, Uint8Array.from([0xff, 0xfe, 0xc3, 0x28]), Buffer.alloc(16 << 10, 0x81)];
      await driver.write(call, source.container, [
        record("first"),
        ...odd.map((line) => record(line)),
        record('MESSAGE=x\u0000 <13>1 {"a": 1}'),
      ]);
      const long = "x".repeat(16 << 10);
      await driver.write(call, source.container, [record(long), record("last é")]);
      const found = await arrived(world, source.tag, (all) => all.some(({ line }) => line === "last é"));
      same([found[0]?.line, found.at(-2)?.line === long, found.at(-1)?.line], ["first", true, "last é"], "around them the sink has");
    },
  },
  {
    id: "log/many",
    contract: "takes a batch of records in order",
    title: "the largest batches arrive whole",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call } = world;
      const source = world.source();
      await driver.open(call, source);
      const wanted: string[] = [];
      for (let batch = 0; batch < 4; batch += 1) {
        const own = Array.from({ length: 500 }, (_, at) => `${batch} ${at} ${"x".repeat(batch * 40)}`);
        wanted.push(...own);
        await driver.write(
          call,
          source.container,
          own.map((line) => record(line)),
        );
      }
      await lines(world, source.tag, wanted);
    },
  },
  {
    id: "log/empty-batch",
    contract: "LogSender.write",
    title: "a batch without records sends nothing",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call } = world;
      const source = world.source();
      await driver.open(call, source);
      await driver.write(call, source.container, []);
      await driver.write(call, source.container, [record("one")]);
      await lines(world, source.tag, ["one"]);
    },
  },
  {
    id: "log/sources-apart",
    contract: "LogSource.tag",
    title: "each source's records have its own tag",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call } = world;
      const [one, other] = [world.source(), world.source()];
      await driver.open(call, one);
      await driver.open(call, other);
      for (const round of ["1", "2"]) {
        await driver.write(call, one.container, [record(`one ${round}`)]);
        await driver.write(call, other.container, [record(`other ${round}`)]);
      }
      await lines(world, one.tag, ["one 1", "one 2"]);
      await lines(world, other.tag, ["other 1", "other 2"]);
    },
  },
  {
    id: "log/partial",
    contract: "A line that is longer than 16 KiB is several records",
    title: "no piece of a long line is lost or changed",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call } = world;
      const source = world.source();
      await driver.open(call, source);
      const pieces = ["a".repeat(16 << 10), "b".repeat(16 << 10), "the end"];
      await driver.write(
        call,
        source.container,
        pieces.map((line, at) => record(line, 0, "stdout", { id: "5ff2", ordinal: at + 1, last: at === 2 })),
      );
      const found = await arrived(world, source.tag, (all) => all.map(({ line }) => line).join("").length >= pieces.join("").length);
      expect(found.map(({ line }) => line).join("") === pieces.join(""), "the pieces that came are not the line");
    },
  },
  {
    id: "log/down",
    contract: "the sink can't be reached, or does not take more now",
    title: "a sink that is down is Unavailable, and gets the batch when it is up again",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, sink } = world;
      const source = world.source();
      const call = createCall(silentLog, { timeout: arrival });
      await driver.open(call, source);
      await sink?.stop();
      await expectCode(driver.write(call, source.container, [record("one"), record("two")]), "Unavailable");
      await sink?.start();
      await driver.write(call, source.container, [record("one"), record("two")]);
      const found = await arrived(world, source.tag, (all) => all.some(({ line }) => line === "two"));
      same([...new Set(found.map(({ line }) => line))], ["one", "two"], "the sink has");
    },
  },
  {
    id: "log/dies",
    contract: "but loses none",
    title: "a sink that dies between two batches, and comes back, has both",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call, sink } = world;
      const source = world.source();
      await driver.open(call, source);
      await driver.write(call, source.container, [record("before")]);
      await arrived(world, source.tag, ({ length }) => length > 0);
      await sink?.stop();
      await sink?.start();
      const second = [record("after 1"), record("after 2")];
      for (let tries = 0; tries < 5; tries += 1) {
        const failed = await driver.write(call, source.container, second).then(
          () => null,
          (error: unknown) => error,
        );
        if (failed === null) break;
        expect(isTsboxError(failed) && failed.code === "Unavailable", `write failed with ${String(failed)}`);
      }
      const found = await arrived(world, source.tag, (all) => all.some(({ line }) => line === "after 2"));
      same([...new Set(found.map(({ line }) => line))], ["before", "after 1", "after 2"], "the sink has");
    },
  },
  {
    id: "log/silent",
    contract: "A `write` ends with its call",
    title: "a sink that takes nothing holds no write beyond its call, and has all that was taken when it goes on",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call, sink } = world;
      const source = world.source();
      await driver.open(call, source);
      await driver.write(call, source.container, [record("first")]);
      await arrived(world, source.tag, ({ length }) => length > 0);
      await sink?.silence();
      const piece = "x".repeat(8 << 10);
      let taken = 0;
      let failed: unknown = null;
      // Until the buffers between driver and sink are full.
      for (; taken < 4000 && failed === null; taken += failed === null ? 1 : 0) {
        const own = deriveCall(call, { timeout: 500 });
        const batch = Array.from({ length: 8 }, (_, at) => record(`${taken} ${at} ${piece}`));
        const writing = driver.write(own, source.container, batch);
        writing.catch((error: unknown) => {
          failed = error ?? new Error("nothing");
        });
        expect(await inTime(writing, 500 + grace), "a write did not end with its call");
      }
      expect(failed !== null, "it took 256 MB for a sink that reads nothing");
      await sink?.start();
      const again = Array.from({ length: 8 }, (_, at) => record(`${taken} ${at} ${piece}`));
      for (let tries = 0; tries < 5; tries += 1)
        if (
          await driver.write(deriveCall(call, { timeout: arrival }), source.container, again).then(
            () => true,
            () => false,
          )
        )
          break;
      const found = await arrived(world, source.tag, (all) => all.some(({ line }) => line.startsWith(`${taken} 7 `)));
      const names = new Set(found.map(({ line }) => line.slice(0, line.indexOf(" x"))));
      const missing = Array.from({ length: (taken + 1) * 8 }, (_, at) => `${Math.floor(at / 8)} ${at % 8}`).filter(
        (name) => !names.has(name),
      );
      // What a dead connection had taken may be lost where the sink can't say what it has.
      const allowed = sink?.isSure ? 0 : Number.POSITIVE_INFINITY;
      expect(missing.length <= allowed, `${missing.length} records are missing, the first of them ${missing[0]}`);
      expect(names.has(`${taken} 0`) && names.has(`${taken} 7`), "the batch that was sent again is missing");
    },
  },
  {
    id: "log/waits-alone",
    contract: "One source's sink never delays another's",
    title: "while a write waits for its sink, other sources are opened, and closed at once",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call, sink } = world;
      const [waits, other] = [world.source(), world.source()];
      await driver.open(call, waits);
      await driver.open(call, other);
      await sink?.silence();
      const own = deriveCall(call, { timeout: 3_000 });
      const writing = driver.write(own, waits.container, [record("one")]).catch(() => undefined);
      const third = world.source();
      const work = Promise.all([driver.open(call, third), driver.close(call, other.container), driver.check(call, sink?.options ?? {})]);
      expect(await inTime(work, 1_000), "open, close and check wait for another source's sink");
      await work;
      expect(await inTime(writing, 3_000 + grace), "the write did not end with its call");
    },
  },
  {
    id: "log/canceled",
    contract: "A `write` ends with its call",
    title: "a call that is canceled before sends nothing",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call } = world;
      const source = world.source();
      await driver.open(call, source);
      const own = createCall(silentLog, { signal: AbortSignal.abort() });
      const failed = await driver.write(own, source.container, [record("canceled")]).then(
        () => false,
        () => true,
      );
      expect(failed, "it did not fail");
      await driver.write(call, source.container, [record("one")]);
      await lines(world, source.tag, ["one"]);
    },
  },
  {
    id: "log/close-keeps",
    contract: "LogSender.close",
    title: "what was written before a close arrives, and the source may be opened again",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const { driver, call } = world;
      const source = world.source();
      for (const line of ["one", "two", "three"]) {
        await driver.open(call, source);
        await driver.write(call, source.container, [record(line)]);
        await driver.close(call, source.container);
      }
      const found = await arrived(world, source.tag, ({ length }) => length >= 3);
      same(found.map(({ line }) => line).sort(), ["one", "three", "two"], "the sink has");
    },
  },
  {
    id: "log/crash",
    contract: "A daemon's death closes all of them",
    title: "after the engine's death no source is open, and each may be opened again",
    needs: ["send"],
    unless: noSink,
    async run(world) {
      const source = world.source();
      await world.driver.open(world.call, source);
      await world.driver.write(world.call, source.container, [record("before")]);
      await arrived(world, source.tag, ({ length }) => length > 0);
      await world.crash();
      await expectCode(world.driver.write(world.call, source.container, [record("lost")]), "NotFound");
      await world.driver.open(world.call, source);
      await world.driver.write(world.call, source.container, [record("after")]);
      await lines(world, source.tag, ["before", "after"]);
    },
  },
];
