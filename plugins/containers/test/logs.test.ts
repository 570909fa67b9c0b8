/** Reading logs of both formats, compared line by line with what was written. */
import assert from "node:assert/strict";
import { appendFileSync, closeSync, existsSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { createCall, type LogPart, limits, type ShimLog, silentLog } from "@tsbox/kernel";
import { readLog } from "../src/logs/read.ts";

const test = suite("logs");
const drivers = ["local", "json-file"] as const;
type Written = { readonly stream: "stdout" | "stderr"; readonly at: number; readonly text: string };

function logOf(t: Case, driver: (typeof drivers)[number]): ShimLog {
  return { driver, path: join(temporaryDirectory(t), "log"), maxBytes: 1 << 20, maxFiles: 4 };
}

/** As native/shim/src/log.rs writes: json-file holds only whole lines. */
function record(driver: ShimLog["driver"], { stream, at, text }: Written): Buffer {
  if (driver === "json-file") {
    const time = `${new Date(at).toISOString().slice(0, 19)}.${String(at % 1000).padStart(3, "0")}000000Z`;
    const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
    return Buffer.from(lines.map((log) => `${JSON.stringify({ log, stream, time })}\n`).join(""));
  }
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(16);
  head.writeUInt32LE(bytes.length, 0);
  head[4] = stream === "stderr" ? 2 : 1;
  head.writeBigUInt64LE(BigInt(at) * 1_000_000n, 8);
  const foot = Buffer.alloc(4);
  foot.writeUInt32LE(bytes.length, 0);
  return Buffer.concat([head, bytes, foot]);
}

async function linesOf(parts: AsyncIterable<LogPart>): Promise<readonly string[]> {
  const all: string[] = [];
  for await (const { stream, lines } of parts)
    for (const line of Buffer.from(lines)
      .toString()
      .match(/[^\n]*\n|[^\n]+$/g) ?? [])
      all.push(`${stream === "stdout" ? "" : "!"}${line}`);
  return all;
}

/** The nanoseconds of a time that `fill` wrote. */
const at = (second: number): string => String((1_700_000_000n + BigInt(second)) * 1_000_000_000n);
const call = createCall(silentLog);
const read = (log: ShimLog, options: Parameters<typeof readLog>[2]): Promise<readonly string[]> =>
  linesOf(readLog(call, log, options, null));

/** Many short records with lines of both streams, some in parts, some long, in rotated files. */
function fill(log: ShimLog): readonly string[] {
  const written: Written[] = [];
  for (let at = 0; at < 400; at += 1) {
    const stream = at % 7 === 0 ? "stderr" : "stdout";
    const long = at % 50 === 0 ? "x".repeat(100_000) : "";
    const text = log.driver === "local" && at % 5 === 1 ? `piece ${at} ` : `line ${at} "quoted" é${long}\nsecond of ${at}\n`;
    written.push({ stream, at: 1_700_000_000_000 + at * 1000, text });
  }
  const files = [`${log.path}.2`, `${log.path}.1`, log.path];
  for (const [at, file] of files.entries())
    writeFileSync(file, Buffer.concat(written.slice(at * 150, at === 2 ? 400 : (at + 1) * 150).map((one) => record(log.driver, one))));
  const open = { stdout: "", stderr: "" };
  const lines: string[] = [];
  for (const { stream, text } of written) {
    const mark = stream === "stdout" ? "" : "!";
    const pieces = (open[stream] + text).split("\n");
    open[stream] = pieces.pop() ?? "";
    for (const piece of pieces) lines.push(`${mark}${piece}\n`);
  }
  for (const stream of ["stdout", "stderr"] as const)
    if (open[stream] !== "") lines.push(`${stream === "stdout" ? "" : "!"}${open[stream]}`);
  return lines;
}

for (const driver of drivers) {
  test(`${driver}: all lines, and the last ones, over rotated files`, async (t) => {
    const log = logOf(t, driver);
    const lines = fill(log);
    assert.deepEqual(await read(log, {}), lines);
    for (const tail of [0, 1, 2, 3, 7, 51, 100, 299, 300, 301, 500, 10_000])
      assert.deepEqual(await read(log, { tail }), tail === 0 ? [] : lines.slice(-tail), `tail ${tail}`);
  });

  test(`${driver}: one stream, a span of time; the last lines are counted first`, async (t) => {
    const log = logOf(t, driver);
    const lines = fill(log);
    assert.deepEqual(
      await read(log, { stdout: false }),
      lines.filter((line) => line.startsWith("!")),
    );
    assert.deepEqual(
      await read(log, { stderr: false, tail: 50 }),
      lines.slice(-50).filter((line) => !line.startsWith("!")),
    );
    const some = await read(log, { since: at(10), until: at(12) });
    assert.match(some.join(""), /^line 10 [\s\S]*second of 12\n$/);
    assert.equal((await read(log, { since: at(1_000_000) })).length, 0);
  });

  test(`${driver}: what is written while it is followed, over rotations, to the end`, async (t) => {
    const log = logOf(t, driver);
    writeFileSync(log.path, record(driver, { stream: "stdout", at: 1, text: "first\n" }));
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const parts = readLog(call, log, { follow: true, tail: 0 }, ended);
    const received: string[] = [];
    const listening = (async () => {
      for await (const part of parts) for (const line of await linesOf(oneOf(part))) received.push(line);
    })();
    const until = async (count: number): Promise<void> => {
      while (received.length < count) await new Promise((resolve) => setImmediate(resolve));
    };
    // The reader follows once it has returned a line.
    for (let at = 0; received.length === 0; at += 1) {
      appendFileSync(log.path, record(driver, { stream: "stdout", at: 2 + at, text: "second\n" }));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const before = received.length;
    await until(before);
    appendFileSync(log.path, record(driver, { stream: "stderr", at: 500, text: "third\n" }));
    // Two rotations before the reader looks again.
    renameSync(log.path, `${log.path}.2`);
    writeFileSync(`${log.path}.1`, record(driver, { stream: "stdout", at: 501, text: "fourth\n" }));
    writeFileSync(log.path, record(driver, { stream: "stdout", at: 502, text: "fifth" }));
    await until(before + 2);
    end();
    await listening;
    const rest = received.filter((line) => line !== "second\n");
    assert.deepEqual(rest, ["!third\n", "fourth\n", "fifth"]);
  });
}

async function* oneOf<T>(item: T): AsyncGenerator<T> {
  yield item;
}

/** The first record of a file that the shim reuses: `end` counts from the file's first byte. */
function beginning(generation: number, end: number): Buffer {
  const head = Buffer.alloc(28);
  head.writeUInt32LE(8, 0);
  head[4] = 3;
  head.writeBigUInt64LE(BigInt(generation), 8);
  head.writeBigUInt64LE(BigInt(end), 16);
  head.writeUInt32LE(8, 24);
  return head;
}

test("an entry that is being written is not there yet, and hides none", async (t) => {
  const log = logOf(t, "local");
  const whole = record("local", { stream: "stdout", at: 1, text: "line\n" });
  const begun = record("local", { stream: "stdout", at: 2, text: "later\n" });
  writeFileSync(log.path, Buffer.concat([beginning(1, 28 + whole.length), whole, begun.subarray(0, 20)]));
  assert.deepEqual(await read(log, { tail: 1 }), ["line\n"]);
  assert.deepEqual(await read(log, {}), ["line\n"]);
});

for (const driver of drivers) {
  test(`${driver}: a line without an end comes in pieces of a bounded size`, async (t) => {
    const log = logOf(t, driver);
    const piece = "x".repeat(16 << 10);
    const count = 400;
    const one = record(driver, { stream: "stdout", at: 1, text: piece });
    writeFileSync(log.path, Buffer.concat([...Array(count).fill(one), record(driver, { stream: "stdout", at: 2, text: "end\nnext\n" })]));
    let text = "";
    for await (const { lines } of readLog(call, log, {}, null)) {
      assert.ok(lines.length <= limits.longestLine + (512 << 10), `${lines.length} bytes in one part`);
      text += Buffer.from(lines).toString();
    }
    assert.equal(text, `${piece.repeat(count)}end\nnext\n`);
    assert.deepEqual(await read(log, { tail: 1 }), ["next\n"]);
  });

  test(`${driver}: reading ends where the log ended when it was asked`, async (t) => {
    const log = logOf(t, driver);
    const lines = (from: number): Buffer =>
      Buffer.concat(Array.from({ length: 5000 }, (_, at) => record(driver, { stream: "stdout", at: from + at, text: `${from + at}\n` })));
    const fill = (bytes: Buffer): void =>
      writeFileSync(log.path, driver === "local" ? Buffer.concat([beginning(1, 28 + bytes.length), bytes]) : bytes);
    let written = lines(0);
    fill(written);
    for (const options of [{}, { tail: 1 }, { tail: 3000 }]) {
      const received: string[] = [];
      for await (const part of readLog(call, log, options, null)) {
        received.push(...(await linesOf(oneOf(part))));
        // The container writes more for each part that is read.
        if (written.length < 10 << 20) {
          written = Buffer.concat([written, lines(5000)]);
          fill(written);
        }
      }
      assert.equal(received.length, options.tail ?? 5000);
      assert.equal(received.at(-1), "4999\n");
      written = lines(0);
      fill(written);
    }
  });

  test(`${driver}: followed over many rotations, each line comes once`, async (t) => {
    const log = { ...logOf(t, driver), maxBytes: 1000, maxFiles: 3 };
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const received: string[] = [];
    const total = 2000;
    const oldest = `${log.path}.2`;
    let generation = 1;
    // An empty file, as the shim creates it.
    let present = driver === "local" ? beginning(generation, 28) : Buffer.alloc(0);
    writeFileSync(log.path, "");
    const listening = (async () => {
      for await (const part of readLog(call, log, { follow: true }, ended)) received.push(...(await linesOf(oneOf(part))));
    })();
    for (let at = 0; at < total; at += 1) {
      const line = record(driver, { stream: "stdout", at, text: `${at}\n` });
      if (present.length + line.length > log.maxBytes) {
        // As in native/shim/src/log.rs: with `local` the oldest file is overwritten.
        generation += 1;
        if (existsSync(oldest)) driver === "local" ? renameSync(oldest, `${log.path}.new`) : rmSync(oldest);
        if (existsSync(`${log.path}.1`)) renameSync(`${log.path}.1`, oldest);
        renameSync(log.path, `${log.path}.1`);
        present = driver === "local" ? beginning(generation, 28) : Buffer.alloc(0);
        if (driver === "local") {
          const file = openSync(`${log.path}.new`, existsSync(`${log.path}.new`) ? "r+" : "w");
          writeSync(file, present, 0, present.length, 0);
          closeSync(file);
          renameSync(`${log.path}.new`, log.path);
        } else writeFileSync(log.path, present);
      }
      const file = openSync(log.path, "r+");
      if (at === 0) writeSync(file, present, 0, present.length, 0);
      writeSync(file, line, 0, line.length, present.length);
      present = Buffer.concat([present, line]);
      const endBytes = Buffer.alloc(8);
      endBytes.writeBigUInt64LE(BigInt(present.length));
      if (driver === "local") writeSync(file, endBytes, 0, 8, 16);
      closeSync(file);
      // One file may be filled before the follower returns more lines.
      while (received.length < at - 30) await new Promise((resolve) => setImmediate(resolve));
    }
    end();
    await listening;
    assert.deepEqual(
      received,
      Array.from({ length: total }, (_, at) => `${at}\n`),
    );
  });
}

test("bytes behind the end of an overwritten file are ignored, forwards and backwards", async (t) => {
  const log = logOf(t, "local");
  const one = (text: string): Buffer => record("local", { stream: "stdout", at: 1, text });
  const [first, second] = [one("first\n"), one("second\n")];
  writeFileSync(`${log.path}.1`, Buffer.concat([beginning(1, 28 + first.length), first, one("of an earlier round\n")]));
  writeFileSync(log.path, Buffer.concat([beginning(2, 28 + second.length), second, one("longer, and of an earlier round\n").subarray(7)]));
  assert.deepEqual(await read(log, {}), ["first\n", "second\n"]);
  for (const tail of [1, 2, 3]) assert.deepEqual(await read(log, { tail }), ["first\n", "second\n"].slice(-tail));
});

test("a file that is written over while it is read ends there, and is read anew as what it is", async (t) => {
  const log = logOf(t, "local");
  const one = (text: string): Buffer => record("local", { stream: "stdout", at: 1, text });
  const old = Buffer.concat(Array.from({ length: 3000 }, (_, at) => one(`${at} ${"x".repeat(200)}\n`)));
  writeFileSync(log.path, Buffer.concat([beginning(1, 28 + old.length), old]));
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const parts = readLog(call, log, { follow: true }, ended);
  const received: string[] = [];
  for await (const part of parts) {
    const lines = await linesOf(oneOf(part));
    if (received.length === 0) {
      const fresh = one("anew\n");
      const file = openSync(log.path, "r+");
      writeSync(file, Buffer.concat([beginning(2, 28 + fresh.length), fresh]), 0, 28 + fresh.length, 0);
      closeSync(file);
      setImmediate(end);
    }
    received.push(...lines);
  }
  assert.equal(received.at(-1), "anew\n");
  assert.ok(received.length < 3001, String(received.length));
  for (const [at, line] of received.slice(0, -1).entries()) assert.ok(line.startsWith(`${at} x`), line);
});

test("json-file: each byte as it was written, lines of other writers, and those of one moment together", async (t) => {
  const log = logOf(t, "json-file");
  const texts = [...Array(256).keys()].filter((code) => code !== 10).map((code) => `${String.fromCharCode(code)}a\u{1f980}\n`);
  const time = "2026-01-01T00:00:00.5Z";
  const lines = texts.map((text) => JSON.stringify({ log: text, stream: "stdout", time }));
  lines.push(JSON.stringify({ time, attrs: { tag: "x" }, stream: "stderr", log: "another order\n" }));
  lines.push(`{"log":"the first of two\\n","log":"the second counts\\n","stream":"stdout","time":"${time}"}`);
  lines.push(`{"log":"\\ud83d\\udd25 \\u0041\\/\\n","stream":"stdout","time":"${time}"}`);
  writeFileSync(log.path, `${lines.join("\n")}\n`);
  const parts: LogPart[] = [];
  for await (const part of readLog(call, log, {}, null)) parts.push(part);
  const read = await linesOf(parts as unknown as AsyncIterable<LogPart>);
  assert.deepEqual(read, [...texts, "!another order\n", "the second counts\n", "\u{1f525} A/\n"]);
  assert.deepEqual(new Set(parts.map((part) => part.at)), new Set([String(BigInt(Date.parse(time)) * 1_000_000n)]));
  // Escapes of six bytes end a part; everything between them is one part.
  assert.ok(parts.length < 80, `${parts.length} parts`);
});

test("json-file: what a power cut has left in the middle is no line, and hides none", async (t) => {
  const log = logOf(t, "json-file");
  const whole = (text: string): string => `${JSON.stringify({ log: text, stream: "stdout", time: "2026-01-01T00:00:00Z" })}\n`;
  writeFileSync(
    log.path,
    `${whole("one\n")}${"\0".repeat(100)}\n{"log":"tor\n${whole("two\n")}{"log":"no moment\\n","stream":"stdout","time":"x"}\n${whole("three\n")}`,
  );
  assert.deepEqual(await read(log, {}), ["one\n", "two\n", "three\n"]);
  assert.deepEqual(await read(log, { tail: 2 }), ["two\n", "three\n"]);
});
