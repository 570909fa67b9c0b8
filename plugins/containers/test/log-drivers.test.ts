/** What a log driver gets of a container's log: every line once, across rotations, restarts and a sink that fails. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import {
  type Container,
  createCall,
  fail,
  isTsboxError,
  type LogDriver,
  type LogRecord,
  type LogSender,
  newContainerId,
  type ShimLog,
  silentLog,
} from "@tsbox/kernel";
import { Followers } from "../src/log-drivers/followers.ts";
import { settleLog } from "../src/log-drivers/settle.ts";
import { checkTag, fillTag } from "../src/log-drivers/tag.ts";
import { LocalLog } from "./local-log.ts";

const test = suite("log drivers");

/** A sink that says what it has got, and may fail. */
class Sink implements LogDriver, LogSender {
  readonly powers = ["send"] as const;
  readonly options: readonly string[] = ["address"];
  readonly pieces: { stdout: string[]; stderr: string[] } = { stdout: [], stderr: [] };
  batches = 0;
  isDown = false;
  isSilent = false;
  isOpen = false;
  /** Batches that it takes and does not acknowledge. */
  unacknowledged = 0;
  #waiting: (() => void)[] = [];

  async check(): Promise<void> {}
  async open(): Promise<void> {
    if (this.isOpen) throw fail("AlreadyExists", "open");
    this.isOpen = true;
  }
  async close(): Promise<void> {
    this.isOpen = false;
  }
  async write(call: Parameters<LogSender["write"]>[0], _id: unknown, records: readonly LogRecord[]): Promise<void> {
    if (this.isDown) throw fail("Unavailable", "down");
    if (this.isSilent)
      await new Promise<never>((_, reject) => call.signal.addEventListener("abort", () => reject(call.signal.reason), { once: true }));
    this.batches += 1;
    for (const { stream, line, partial } of records)
      this.pieces[stream].push(`${Buffer.from(line).toString()}${partial === null || partial.last ? "\n" : ""}`);
    for (const wake of this.#waiting.splice(0)) wake();
    if (this.unacknowledged > 0) {
      this.unacknowledged -= 1;
      throw fail("Unavailable", "it broke off");
    }
  }
  text(stream: "stdout" | "stderr"): string {
    return this.pieces[stream].join("");
  }
  async until(fits: () => boolean): Promise<void> {
    while (!fits()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

interface World {
  readonly record: Container;
  readonly log: ShimLog;
  readonly warnings: string[];
  followers(sink: Sink): Followers;
}
function world(t: Case, { maxBytes = 20_000, maxFiles = 3 } = {}): World {
  const id = newContainerId();
  const directory = join(temporaryDirectory(t), id);
  mkdirSync(directory);
  const log = { driver: "local", path: join(directory, "log"), maxBytes, maxFiles, sent: true } as const;
  const config = { log: { driver: "sink", options: {} }, labels: {}, env: [] };
  const record = {
    id,
    name: "box",
    imageId: "sha256:0",
    imageName: "app",
    argv: [],
    config,
    log,
    status: "running",
  } as unknown as Container;
  const warnings: string[] = [];
  const logger = { ...silentLog, warn: (text: string) => void warnings.push(text) };
  return {
    record,
    log,
    warnings,
    followers: (sink) => {
      const followers = new Followers({ log: async () => sink }, (options) => createCall(logger, options));
      t.cleanup(() => followers.close());
      return followers;
    },
  };
}

test("lines come once and in order, across rotations, in pieces, with the rest at the end", async (t) => {
  const { record, log, followers, warnings } = world(t);
  const sink = new Sink();
  const writer = new LocalLog(log);
  const all = followers(sink);
  all.follow(record);
  let [out, err] = ["", ""];
  for (let at = 0; at < 300; at += 1) {
    const text = at % 3 === 0 ? `begin ${at} ` : `line ${at}\n\nsecond of ${at} é\n`;
    writer.write(at % 5 === 0 ? "stderr" : "stdout", text);
    if (at % 5 === 0) err += text;
    else out += text;
    // Not faster than it is read, since two files are few.
    if (at % 20 === 19) await sink.until(() => sink.text("stdout").length >= out.lastIndexOf("\n"));
  }
  const long = `${"x".repeat(40_000)}\n`;
  writer.write("stdout", long.slice(0, 30_000));
  writer.write("stderr", "between\nrest without an end");
  writer.write("stdout", long.slice(30_000));
  all.ended(record.id);
  await sink.until(() => sink.text("stderr").endsWith("end\n"));
  await all.leave(record);
  assert.equal(sink.text("stdout"), out + long);
  assert.equal(sink.text("stderr"), `${err}between\nrest without an end\n`);
  assert.equal(sink.pieces.stdout.at(-1)?.length, 40_000 - 2 * (16 << 10) + 1);
  assert.equal(sink.isOpen, false);
  assert.deepEqual(warnings, []);
  writer.close();
});

test("a new daemon goes on where the last one was, in the middle of lines of both streams", async (t) => {
  const { record, log, followers } = world(t, { maxBytes: 3_000, maxFiles: 50 });
  const sink = new Sink();
  const writer = new LocalLog(log);
  let [out, err] = ["", ""];
  for (let round = 0; round < 15; round += 1) {
    const all = followers(sink);
    all.follow(record);
    for (let at = 0; at < 40; at += 1) {
      const [stream, text] = [
        at % 7 === 0 ? "stderr" : "stdout",
        at % 4 === 0 ? `begin ${round} ${at} ` : `${round} ${at}\nmore ${at}\n`,
      ] as const;
      writer.write(stream, text);
      if (stream === "stdout") out += text;
      else err += text;
      if (at === 13 + round) await sink.until(() => sink.text("stdout").length > round);
    }
    await all.close();
    sink.isOpen = false;
  }
  const last = followers(sink);
  last.follow({ ...record, status: "exited" });
  await last.leave(record);
  assert.equal(sink.text("stdout"), out);
  assert.equal(sink.text("stderr"), `${err}${err.endsWith("\n") ? "" : "\n"}`);
  writer.close();
});

test("a sink that fails gets everything later, and the lines of one batch twice at most", async (t) => {
  const { record, log, followers, warnings } = world(t, { maxBytes: 1 << 20 });
  const sink = new Sink();
  const writer = new LocalLog(log);
  const all = followers(sink);
  sink.isDown = true;
  all.follow(record);
  for (let at = 0; at < 1000; at += 1) writer.write("stdout", `line ${at}\n`);
  await new Promise<void>((resolve) => {
    const look = setInterval(() => {
      if (warnings.length === 0) return;
      clearInterval(look);
      resolve();
    }, 5);
  });
  sink.unacknowledged = 1;
  sink.isDown = false;
  await sink.until(() => sink.text("stdout").includes("line 999\n"));
  const wanted = Array.from({ length: 1000 }, (_, at) => `line ${at}\n`);
  assert.deepEqual(sink.pieces.stdout.slice(0, 500), wanted.slice(0, 500));
  assert.deepEqual(sink.pieces.stdout.slice(500), wanted);
  assert.match(warnings.join("\n"), /^the log of container box waits for sink: down; it is sent when that takes it again$/);
  writer.close();
});

test("a removed container's rest has a deadline, and what is lost is counted; the next daemon goes on with it", async (t) => {
  const { record, log, followers, warnings } = world(t);
  const sink = new Sink();
  const writer = new LocalLog(log);
  writer.write("stdout", "one\ntwo\nthree");
  sink.isSilent = true;
  const first = followers(sink);
  first.follow(record);
  const leaving = first.leave(record);
  await first.close();
  assert.equal(await leaving, false);
  const second = followers(sink);
  assert.equal(await second.recall(join(log.path, "..")), true);
  assert.match(warnings.at(-1) ?? "", /^3 lines of the removed container box are lost: sink did not take them within 5 s$/);
  sink.isSilent = false;
  const third = followers(sink);
  assert.equal(await third.recall(join(log.path, "..")), true);
  assert.equal(sink.text("stdout"), "one\ntwo\nthree\n");
  assert.equal(followers(sink).recall(temporaryDirectory(t)), null);
  writer.close();
});

test("what is rotated away before it was read is reported as lost, and the rest comes", async (t) => {
  const { record, log, followers, warnings } = world(t, { maxBytes: 2_000, maxFiles: 2 });
  const sink = new Sink();
  const writer = new LocalLog(log);
  const all = followers(sink);
  all.follow(record);
  writer.write("stdout", "first\n");
  await sink.until(() => sink.text("stdout") === "first\n");
  sink.isDown = true;
  for (let at = 0; at < 500; at += 1) writer.write("stdout", `line ${at}\n`);
  sink.isDown = false;
  await sink.until(() => sink.text("stdout").includes("line 499\n"));
  assert.match(warnings.join("\n"), /output of container box from before 2023-\S+ is lost for sink: its log was rotated/);
  const numbers = sink.pieces.stdout.slice(1).map((line) => Number(line.slice(5)));
  assert.deepEqual(
    numbers,
    numbers.map((_, at) => 500 - numbers.length + at),
  );
  writer.close();
});

test("a container that starts again is followed on, without an end in between", async (t) => {
  const { record, log, followers } = world(t);
  const sink = new Sink();
  const writer = new LocalLog(log);
  const all = followers(sink);
  for (let round = 0; round < 20; round += 1) {
    all.follow(record);
    writer.write("stdout", `round ${round}\n`);
    all.ended(record.id);
    if (round % 3 === 0) await sink.until(() => sink.text("stdout").includes(`round ${round}\n`));
  }
  await all.leave(record);
  assert.equal(sink.text("stdout"), Array.from({ length: 20 }, (_, at) => `round ${at}\n`).join(""));
  writer.close();
});

test("tags are Docker's templates of fields", () => {
  const container = { id: "a".repeat(64), name: "web", imageId: `sha256:${"b".repeat(64)}`, imageName: "app:1", argv: ["sh", "-c"] };
  const subject = { ...container, config: { labels: { tier: "front" } } } as unknown as Container;
  const filled = (template: string): string => {
    checkTag(template);
    return fillTag(template, subject);
  };
  assert.equal(filled("{{.Name}}/{{ .ID }}"), "web/aaaaaaaaaaaa");
  assert.equal(filled("{{.ImageName}} {{.ImageID}} {{.FullID}}"), `app:1 bbbbbbbbbbbb ${"a".repeat(64)}`);
  assert.equal(filled('{{index .ContainerLabels "tier"}}-{{index .ContainerLabels "none"}}'), "front-");
  assert.equal(filled("plain"), "plain");
  for (const wrong of ["{{.Nope}}", "{{.Name", "{{range .X}}", "{{.__proto__}}", "{{.constructor}}"])
    assert.throws(() => checkTag(wrong), /invalid log option tag: .* is unknown; there are \{\{\.ID\}\}/);
});

test("options are settled at create: the default driver, the operator's options, and each wrong one refused by name", async () => {
  const call = createCall(silentLog);
  const file = {
    powers: ["file"],
    format: "local",
    options: ["max-size", "max-file"],
    check: async () => undefined,
  } as unknown as LogDriver;
  const engine = {
    preferred: async () => "sink",
    logIds: async () => ["sink", "local"],
    logOptions: { address: "there", tag: "{{.Name}}" },
    log: async (id: string) => {
      if (id === "sink") return new Sink();
      if (id === "local") return file;
      throw fail("DriverMissing", "no such driver");
    },
  } as unknown as Parameters<typeof settleLog>[0];
  const settle = (driver: string, options: Readonly<Record<string, string>> = {}): ReturnType<typeof settleLog> =>
    settleLog(engine, call, { driver, options });
  assert.deepEqual(await settle("", { address: "here" }), {
    config: { driver: "sink", options: { address: "here", tag: "{{.Name}}" } },
    format: "local",
    maxBytes: null,
    maxFiles: null,
    sends: true,
  });
  assert.deepEqual(await settle("local", { "max-size": "1k", "max-file": "7" }), {
    config: { driver: "local", options: { "max-size": "1k", "max-file": "7" } },
    format: "local",
    maxBytes: 1024,
    maxFiles: 7,
    sends: false,
  });
  assert.equal((await settle("sink", { "cache-max-size": "1.5m" })).maxBytes, 1.5 * (1 << 20));
  for (const [driver, options, text] of [
    ["nope", {}, /no log driver named 'nope' is registered; there are local, sink/],
    ["sink", { nope: "1" }, /unknown log opt 'nope' for sink log driver: there are address, labels, .*cache-disabled/],
    ["local", { "cache-disabled": "true" }, /unknown log opt 'cache-disabled'/],
    ["sink", { mode: "fast" }, /logging mode not supported: fast/],
    ["sink", { "max-buffer-size": "1m" }, /only supported with 'mode=non-blocking'/],
    ["sink", { mode: "non-blocking", "max-buffer-size": "x" }, /max-buffer-size=x/],
    ["sink", { tag: "{{.X}}" }, /invalid log option tag/],
    ["sink", { "env-regex": "(" }, /no regular expression/],
    ["sink", { "cache-disabled": "maybe" }, /give true or false/],
    ["sink", { "cache-max-file": "0" }, /from 1 to 1000/],
  ] as const)
    await assert.rejects(
      settle(driver, options),
      (error) => isTsboxError(error) && error.code === "InvalidArgument" && text.test(error.message),
    );
});
