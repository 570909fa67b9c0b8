/** The content store: a visible blob is complete and has its digest, whatever fails. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { type ContentService, createCall, type Digest, fail, isTsboxError, silentLog } from "@tsbox/kernel";
import { openBlobs } from "../src/blobs.ts";

const test = suite("content");
const call = createCall(silentLog);
const bytes = Buffer.concat(Array.from({ length: 5000 }, (_, at) => createHash("sha256").update(String(at)).digest()));
const digestOf = (content: Uint8Array): Digest => `sha256:${createHash("sha256").update(content).digest("hex")}` as Digest;
const digest = digestOf(bytes);
const half = bytes.length / 2;

async function* stream(content: Uint8Array, end: "whole" | "broken" = "whole"): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += 40_000) yield content.subarray(at, at + 40_000);
  if (end === "broken") throw fail("Unavailable", "the connection broke off");
}
const code = (expected: string) => (error: unknown) => isTsboxError(error) && error.code === expected;

async function store(t: Case): Promise<{ readonly root: string; readonly blobs: ContentService; readonly left: () => readonly string[] }> {
  const root = temporaryDirectory(t);
  return { root, blobs: await openBlobs(root), left: () => readdirSync(`${root}/ingest`) };
}

test("a blob is there when its digest and size are right", async (t) => {
  const { root, blobs, left } = await store(t);
  assert.equal(await blobs.stat(call, digest), null);
  assert.deepEqual(await blobs.ingest(call, { digest, size: bytes.length }, 0, stream(bytes)), { digest, size: bytes.length });
  assert.deepEqual(await blobs.stat(call, digest), { digest, size: bytes.length });
  assert.equal(await blobs.path(call, digest), `${root}/blobs/sha256/${digest.slice(7)}`);
  assert.ok(bytes.equals(await blobs.read(call, digest)));
  assert.deepEqual(left(), []);
  const all: unknown[] = [];
  for await (const blob of await blobs.list(call)) all.push(blob);
  assert.deepEqual(all, [{ digest, size: bytes.length }]);
});

test("a blob without a given digest gets its own", async (t) => {
  const { blobs, left } = await store(t);
  assert.deepEqual(await blobs.ingest(call, {}, 0, stream(bytes)), { digest, size: bytes.length });
  await assert.rejects(blobs.ingest(call, {}, 0, stream(bytes.subarray(1), "broken")), code("Unavailable"));
  assert.deepEqual(left(), []);
});

test("of other bytes than were promised nothing is kept", async (t) => {
  const { blobs, left } = await store(t);
  const other = Buffer.from(bytes);
  other[7] = 0xff - (other[7] ?? 0);
  await assert.rejects(blobs.ingest(call, { digest, size: bytes.length }, 0, stream(other)), code("DataLoss"));
  await assert.rejects(blobs.ingest(call, { digest, size: bytes.length - 1 }, 0, stream(bytes)), code("DataLoss"));
  await assert.rejects(blobs.ingest(call, { digest }, 0, stream(Buffer.concat([bytes, bytes]))), code("DataLoss"));
  assert.equal(await blobs.stat(call, digest), null);
  assert.equal(await blobs.offset(call, digest), 0);
  assert.deepEqual(left(), []);
});

test("one that is too long is not read to its end", async (t) => {
  const { blobs } = await store(t);
  let given = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      given += 1;
      yield bytes;
    }
  }
  await assert.rejects(blobs.ingest(call, { digest, size: bytes.length }, 0, endless()), code("DataLoss"));
  assert.equal(given, 2);
});

test("a download that broke goes on where it stopped, by this daemon or the next", async (t) => {
  const { root, blobs } = await store(t);
  await assert.rejects(
    blobs.ingest(call, { digest, size: bytes.length }, 0, stream(bytes.subarray(0, half), "broken")),
    code("Unavailable"),
  );
  assert.equal(await blobs.offset(call, digest), half);
  // Ends without an error, but too early.
  await assert.rejects(blobs.ingest(call, { digest, size: bytes.length }, half, stream(bytes.subarray(half, -100))), code("Unavailable"));
  assert.equal(await blobs.offset(call, digest), bytes.length - 100);
  const next = await openBlobs(root);
  assert.equal(await next.offset(call, digest), bytes.length - 100);
  await next.ingest(call, { digest, size: bytes.length }, bytes.length - 100, stream(bytes.subarray(-100)));
  assert.ok(bytes.equals(await next.read(call, digest)));
  assert.equal(await next.offset(call, digest), 0);
});

test("going on from the wrong byte changes nothing; starting anew forgets what was there", async (t) => {
  const { blobs } = await store(t);
  await assert.rejects(
    blobs.ingest(call, { digest, size: bytes.length }, 0, stream(bytes.subarray(0, half), "broken")),
    code("Unavailable"),
  );
  await assert.rejects(
    blobs.ingest(call, { digest, size: bytes.length }, half + 1, stream(bytes.subarray(half + 1))),
    code("FailedPrecondition"),
  );
  assert.equal(await blobs.offset(call, digest), half);
  await assert.rejects(blobs.ingest(call, { digest, size: bytes.length }, 0, stream(bytes.subarray(0, 10), "broken")), code("Unavailable"));
  assert.equal(await blobs.offset(call, digest), 10);
  await blobs.ingest(call, { digest, size: bytes.length }, 0, stream(bytes));
});

test("going on before the end of what is there cuts off the rest", async (t) => {
  const { blobs } = await store(t);
  const torn = Buffer.concat([bytes.subarray(0, half), Buffer.alloc(bytes.length)]);
  await assert.rejects(blobs.ingest(call, { digest }, 0, stream(torn, "broken")), code("Unavailable"));
  await blobs.ingest(call, { digest, size: bytes.length }, half, stream(bytes.subarray(half)));
  assert.equal(statSync(await blobs.path(call, digest)).size, bytes.length);
});

test("two at a time take it once; when the first breaks the second takes its turn", async (t) => {
  const { blobs } = await store(t);
  let second = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    second += 1;
    yield* stream(bytes);
  }
  const both = await Promise.all([blobs.ingest(call, { digest }, 0, stream(bytes)), blobs.ingest(call, { digest }, 0, counted())]);
  assert.deepEqual(both, [
    { digest, size: bytes.length },
    { digest, size: bytes.length },
  ]);
  assert.equal(second, 0);
  await blobs.remove(call, digest);
  const [first, after] = await Promise.allSettled([
    blobs.ingest(call, { digest }, 0, stream(bytes.subarray(0, half), "broken")),
    blobs.ingest(call, { digest }, 0, counted()),
  ]);
  assert.equal(first.status, "rejected");
  assert.equal(after.status, "fulfilled");
  assert.equal(second, 1);
});

test("who waits for another's download is not held up by a slow one, nor when canceled; both store the blob then", async (t) => {
  const root = temporaryDirectory(t);
  const blobs = await openBlobs(root, { milliseconds: 50, bytes: 1000 });
  let goOn = (): void => {};
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, half);
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    yield bytes.subarray(half);
  }
  let reads = 0;
  async function* unread(): AsyncGenerator<Uint8Array> {
    reads += 1;
    yield* stream(bytes);
  }
  const first = blobs.ingest(call, { digest, size: bytes.length }, 0, slow());
  const controller = new AbortController();
  const canceled = blobs.ingest(createCall(silentLog, { signal: controller.signal }), { digest }, 0, unread());
  controller.abort(fail("Canceled", "canceled"));
  await assert.rejects(canceled, code("Canceled"));
  await assert.rejects(
    blobs.ingest(call, { digest }, 0, unread()),
    (error) => code("Unavailable")(error) && (error as { reason?: string }).reason === "content/slow",
  );
  const whole = { digest, size: bytes.length };
  assert.deepEqual(await blobs.ingest(call, { ...whole, apart: true }, 0, stream(bytes)), whole);
  assert.deepEqual(await blobs.stat(call, digest), whole);
  goOn();
  assert.deepEqual(await first, whole);
  assert.equal(reads, 0);
  assert.ok(bytes.equals(await blobs.read(call, digest)));
  assert.deepEqual(readdirSync(`${root}/ingest`), []);
});

test("of a stream that fails before its first byte nothing is kept", async (t) => {
  const { blobs, left } = await store(t);
  await assert.rejects(blobs.ingest(call, { digest }, 0, stream(bytes.subarray(0, 0), "broken")), code("Unavailable"));
  assert.deepEqual(left(), []);
});

test("a canceled call stops, and what came is kept", async (t) => {
  const { blobs } = await store(t);
  const controller = new AbortController();
  async function* cut(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, half);
    controller.abort();
    yield bytes.subarray(half);
  }
  await assert.rejects(blobs.ingest(createCall(silentLog, { signal: controller.signal }), { digest }, 0, cut()), code("Canceled"));
  assert.equal(await blobs.offset(call, digest), half);
});

test("a follower reads a blob while it arrives, to its end", async (t) => {
  const { blobs } = await store(t);
  assert.equal(await blobs.follow(call, digest), null);
  const { promise: halfway, resolve: go } = Promise.withResolvers<void>();
  const { promise: resumed, resolve: resume } = Promise.withResolvers<void>();
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, half);
    go();
    await resumed;
    yield bytes.subarray(half);
  }
  const ingested = blobs.ingest(call, { digest, size: bytes.length }, 0, slow());
  await halfway;
  const followed = await blobs.follow(call, digest);
  assert.ok(followed);
  assert.equal(followed.size, bytes.length);
  assert.ok(bytes.subarray(0, half).equals(readFileSync(followed.path)));
  resume();
  await ingested;
  assert.equal(await blobs.follow(call, digest), null);
  assert.ok(bytes.equals(readFileSync(followed.path)));
  await blobs.unfollow(call, followed.path);
  await blobs.unfollow(call, followed.path);
  assert.throws(() => readFileSync(followed.path), /ENOENT|ENXIO/);
});

test("after a crash downloads without a digest are removed, and those with a digest stay for a while", async (t) => {
  const { root, left } = await store(t);
  writeFileSync(`${root}/ingest/any-1-1`, "half");
  writeFileSync(`${root}/ingest/${digest.slice(7)}`, bytes.subarray(0, half));
  const next = await openBlobs(root);
  assert.deepEqual(left(), [digest.slice(7)]);
  assert.equal(await next.offset(call, digest), half);
  assert.deepEqual(await next.unfinished(call), { count: 1, bytes: half });
  const yesterday = Date.now() / 1000 - 86_400;
  utimesSync(`${root}/ingest/${digest.slice(7)}`, yesterday, yesterday);
  await openBlobs(root);
  assert.deepEqual(left(), []);
});

test("abandoned downloads are counted, and dropped on request; active ones are not", async (t) => {
  const { blobs, left } = await store(t);
  await assert.rejects(
    blobs.ingest(call, { digest, size: bytes.length }, 0, stream(bytes.subarray(0, half), "broken")),
    code("Unavailable"),
  );
  assert.deepEqual(await blobs.unfinished(call, { drop: true }), { count: 1, bytes: half });
  assert.deepEqual(left(), []);
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, half);
    await gate;
    yield bytes.subarray(half);
  }
  const ingested = blobs.ingest(call, { digest, size: bytes.length }, 0, slow());
  while (left().length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(await blobs.unfinished(call, { drop: true }), { count: 0, bytes: 0 });
  open();
  await ingested;
});

test("what has rotted on disk is not handed out, and is gone then", async (t) => {
  const { blobs } = await store(t);
  await blobs.ingest(call, { digest }, 0, stream(bytes));
  await assert.rejects(blobs.read(call, digest, 10), code("ResourceExhausted"));
  writeFileSync(await blobs.path(call, digest), bytes.subarray(1));
  await assert.rejects(blobs.read(call, digest), code("DataLoss"));
  await assert.rejects(blobs.read(call, digest), code("NotFound"));
  await blobs.remove(call, digest);
});

test("a digest that is none reaches no path", async (t) => {
  const { blobs } = await store(t);
  for (const text of ["sha256:../../../etc/passwd", "../x", "sha512:00"])
    await assert.rejects(async () => blobs.path(call, text as Digest), code("InvalidArgument"));
});
