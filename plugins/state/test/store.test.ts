/** The database of records: what it keeps, and what it refuses without changing anything. */
import { copyFileSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { createCall, isTsboxError, type StateChange } from "@tsbox/kernel";
import { open } from "lmdb";
import * as assert from "uvu/assert";
import { openStore } from "../src/store.ts";

const test = suite("the records' database", { timeout: 60_000 });
const log = { debug() {}, info() {}, warn() {}, error() {} };
const call = createCall(log);
const records: readonly StateChange[] = Array.from({ length: 300 }, (_, at) => ({
  table: "images",
  key: `sha256:${at}`,
  value: { id: at, words: "w".repeat((at * 37) % 3000), list: [at, null, true] },
}));

interface World {
  readonly root: string;
  readonly directory: string;
  readonly path: string;
}

async function world(t: Case): Promise<World> {
  const root = temporaryDirectory(t);
  const directory = join(root, "state");
  return { root, directory, path: join(directory, "records.lmdb") };
}

/** One life of a daemon; returns how many records it saw. */
async function live(
  { directory }: World,
  changes: readonly StateChange[] = [],
): Promise<{ readonly seen: number; readonly restored: boolean }> {
  const store = await openStore(directory, "01234567");
  const seen = (await store.service.list(call, "images")).length;
  if (changes.length > 0) await store.service.write(call, changes);
  const restored = await store.service.isRestored(call);
  await store.close();
  return { seen, restored };
}

const refusal = async (here: World): Promise<string> =>
  live(here).then(
    () => "nothing was refused",
    (error: unknown) => (isTsboxError(error) ? error.message : String(error)),
  );

test("a name that is too long for the database is refused, and nothing of its write is kept", async (t) => {
  const here = await world(t);
  const store = await openStore(here.directory, "01234567");
  t.cleanup(() => store.close());
  const long = { table: "images", key: "k".repeat(3000), value: 1 } as const;
  const refused = await store.service.write(call, [{ table: "images", key: "short", value: 1 }, long]).catch((error: unknown) => error);
  assert.is(isTsboxError(refused) && refused.code, "InvalidArgument");
  assert.is(await store.service.get(call, "images", "short"), null);
});

test("what was written is there again, with a copy of each change for three starts", async (t) => {
  const here = await world(t);
  await live(here, records);
  assert.equal(await live(here), { seen: 300, restored: false });
  assert.is(existsSync(`${here.path}.1`), true);
  // Without changes no further copy is made.
  for (let at = 0; at < 4; at += 1) await live(here);
  assert.is(existsSync(`${here.path}.2`), false);
  for (let at = 0; at < 4; at += 1) await live(here, [{ table: "images", key: `more${at}`, value: at }]);
  for (const number of [1, 2, 3]) assert.is(statSync(`${here.path}.${number}`).mode & 0o077, 0);
  assert.is(existsSync(`${here.path}.4`), false);
  assert.is(statSync(here.path).mode & 0o077, 0);
});

const damages: Readonly<Record<string, { readonly damage: (here: World) => unknown; readonly says: RegExp }>> = {
  empty: { damage: ({ path }) => writeFileSync(path, ""), says: /the file is empty/ },
  truncated: { damage: ({ path }) => truncateSync(path, 600), says: /truncated to 600 bytes/ },
  "no database": { damage: ({ path }) => writeFileSync(path, "x".repeat(100_000)), says: /can't be used: / },
  missing: { damage: ({ path }) => rmSync(path), says: /the file is missing/ },
  "without records": {
    damage: async ({ path }) => {
      rmSync(path);
      await open({ path, noSubdir: true }).close();
    },
    says: /it holds nothing/,
  },
  "of a newer version": {
    damage: async ({ path }) => {
      const database = open<Buffer, string>({ path, encoding: "binary", noSubdir: true });
      await database.put("format", Buffer.from([9]));
      await database.close();
    },
    says: /format 9, this engine knows up to 2: a newer tsbox made it/,
  },
  "a flipped bit in a record": {
    damage: ({ path }) => {
      const bytes = readFileSync(path);
      // All occurrences, because older pages of the file hold removed records.
      for (let at = bytes.indexOf("wwwwwwww"); at !== -1; at = bytes.indexOf("wwwwwwww", at + 8)) bytes[at] = 0x76;
      writeFileSync(path, bytes);
    },
    says: /the record "images\/sha256:\d+" is not what was written/,
  },
  "of another engine": {
    damage: async ({ path, root }) => {
      const other = await openStore(join(root, "other"), "89abcdef");
      await other.close();
      copyFileSync(join(root, "other/records.lmdb"), path);
    },
    says: /it is of the engine 89abcdef, and this one is 01234567/,
  },
};

for (const [name, { damage, says }] of Object.entries(damages))
  test(`${name}: refused in one line, nothing changed, and the copy that is named brings all back`, async (t) => {
    const here = await world(t);
    await live(here, records);
    await live(here);
    await damage(here);
    const before = existsSync(here.path) ? readFileSync(here.path) : null;
    for (let at = 0; at < 2; at += 1) {
      const message = await refusal(here);
      assert.match(message, says);
      assert.not.match(message, /\n/);
      assert.match(message, /nothing was changed; go back to the copy of \d{4}-.* with `cp \S+records\.lmdb\.1 \S+records\.lmdb`/);
    }
    assert.equal(existsSync(here.path) ? readFileSync(here.path) : null, before);
    copyFileSync(`${here.path}.1`, here.path);
    assert.is((await live(here)).seen, 300);
  });

test("a restored older copy is marked as such until the user confirms that the rest may be removed", async (t) => {
  const here = await world(t);
  await live(here, records);
  await live(here, [{ table: "images", key: "later", value: 1 }]);
  await live(here);
  copyFileSync(`${here.path}.2`, here.path);
  assert.equal(await live(here), { seen: 300, restored: true });
  assert.equal(await live(here), { seen: 300, restored: true });
  const store = await openStore(here.directory, "01234567");
  await store.service.acceptRestored(call);
  await store.close();
  assert.equal(await live(here), { seen: 300, restored: false });
});

test("a start that died of the file is followed by one that says so", async (t) => {
  const here = await world(t);
  await live(here, records);
  await live(here);
  // The marker of a start that was killed. lmdb reads the missing pages, which kills the process.
  truncateSync(here.path, 3 * 4096);
  writeFileSync(join(here.directory, "opening"), "");
  assert.match(await refusal(here), /reading it ends the reader \(SIG|can't be used: .*; nothing was changed/);
  copyFileSync(`${here.path}.1`, here.path);
  // The marker of a daemon that was killed does not make a sound file unusable.
  writeFileSync(join(here.directory, "opening"), "");
  assert.is((await live(here)).seen, 300);
  assert.is(existsSync(join(here.directory, "opening")), false);
});

test("a database of the format before is brought to this one, and its copy is as it was", async (t) => {
  const here = await world(t);
  const { Encoder } = await import("cbor-x");
  const cbor = new Encoder({ useRecords: false, mapsAsObjects: true });
  const database = open<Buffer, string>({ path: here.path, encoding: "binary", noSubdir: true });
  await database.put("format", cbor.encode(1));
  for (const { table, key, value } of records) await database.put(`${table}/${key}`, cbor.encode(value));
  await database.close();
  assert.equal(await live(here), { seen: 300, restored: false });
  assert.equal(await live(here), { seen: 300, restored: false });
  copyFileSync(`${here.path}.1`, here.path);
  assert.equal(await live(here), { seen: 300, restored: true });
});
