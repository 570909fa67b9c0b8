import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, temporaryDirectory } from "@tsbox/harness";
import { Choices } from "../src/host/choice.ts";
import { contractVersions, fail, type HostToolkit, isTsboxError, type StorageDriver, type TsboxError } from "../src/index.ts";
import { type TestPlugin, world } from "./world.ts";

const test = suite("host");

const service = (name: string, kind: string, needs: Record<string, string> = {}, body = "{}"): TestPlugin => ({
  name,
  manifest: { kernel: "^1.0", provides: { [kind]: contractVersions[kind] ?? "1.0.0" }, needs },
  setup: `context.provideService("${kind}", {
    async open() { trace("open ${kind}"); return ${body}; },
    async close() { trace("close ${kind}"); },
  });`,
});
/** A storage driver whose verbs do nothing. */
const verbs = `powers: [], ...Object.fromEntries("prepare view mounts commit remove stat usage list".split(" ").map((verb) => [verb, async () => {}])),`;
const ranks: Readonly<Record<string, number>> = { overlay: 100, btrfs: 50, vfs: 10 };
const driver = (id: string, body: string, probe = "async () => ({ usable: true })"): TestPlugin => ({
  name: `storage-${id}`,
  manifest: { kernel: "^1.0", provides: { [`storage/${id}`]: "1.0.0" }, rank: { [`storage/${id}`]: ranks[id] ?? 1 } },
  setup: `context.provideDriver("storage", "${id}", {
    probe: ${probe},
    async open() { trace("open ${id}"); return { ${verbs} ${body} }; },
    async close() { trace("close ${id}"); },
  });`,
});
const coded = (code: string, text: RegExp) => (error: unknown) => {
  assert.ok(isTsboxError(error), `not ours: ${String(error)}`);
  assert.equal(error.code, code);
  assert.match(error.message, text);
  assert.ok(!error.message.includes("\n"), "one line");
  return true;
};
const stat = (storage: StorageDriver, call: Parameters<StorageDriver["stat"]>[0]): Promise<unknown> => storage.stat(call, "x" as never);

test("services open in order of need and close in reverse, drivers first", async (test) => {
  const engine = world(test, [
    service("c", "images", { content: "^1.0", state: "^1.0" }),
    service("b", "content", { state: "^1.0" }),
    service("a", "state"),
    driver("vfs", ""),
  ]);
  const host = await engine.start();
  await host.driver("storage", "vfs");
  assert.deepEqual(engine.trace, ["open state", "open content", "open images", "open vfs"]);
  await host.stop();
  assert.deepEqual(engine.trace.slice(4), ["close vfs", "close images", "close content", "close state"]);
});

for (const [what, manifest, code, text] of [
  [
    "a kernel range that does not meet",
    { kernel: "^2.0" },
    "VersionMismatch",
    /p is made for kernel \^2\.0, but this engine has kernel 1\.0\.0; install a newer tsbox/,
  ],
  [
    "a need's range that does not meet",
    { kernel: "^1.0", needs: { host: "^0.9" } },
    "VersionMismatch",
    /p needs host \^0\.9.*install a version of p made for host 1\.\d+\.\d+/,
  ],
  ["a contract that nobody defines", { kernel: "^1.0", needs: { frontend: "^1.0" } }, "VersionMismatch", /frontend/],
  ["a missing need", { kernel: "^1.0", needs: { host: "^1.0" } }, "FailedPrecondition", /p needs host, which no plugin provides; add one/],
  ["a bad range", { kernel: "one" }, "InvalidArgument", /tsbox\.kernel: "one" is not a semver range/],
  ["an unknown key", { kernel: "^1.0", need: {} }, "InvalidArgument", /unknown key "need"/],
  ["no kernel range", {}, "InvalidArgument", /tsbox\.kernel must be a string/],
  [
    "an isolation that does not exist",
    { kernel: "^1.0", isolation: "vm" },
    "InvalidArgument",
    /tsbox\.isolation must be one of none, process/,
  ],
  ["a contract defined twice", { kernel: "^1.0", defines: { storage: "1.0.0" } }, "AlreadyExists", /storage/],
  ["what setup does not provide", { kernel: "^1.0", provides: { images: contractVersions.images } }, "InvalidArgument", /promises images/],
  ["the host's own service", { kernel: "^1.0", provides: { engine: "1.0.0" } }, "AlreadyExists", /host's own/],
] as const) {
  test(`a manifest with ${what} is refused`, async (test) => {
    const engine = world(test, [{ name: "p", manifest, setup: `trace("set up")` }]);
    await assert.rejects(engine.start(), coded(code, text));
    if (code !== "InvalidArgument" || !text.source.includes("promises"))
      assert.deepEqual(engine.trace, [], "no code of a refused plugin runs");
  });
}

test("a contract that a plugin brings can be needed, provided and asked for", async (test) => {
  const engine = world(test, [
    { ...service("frontends", "frontend"), manifest: { kernel: "^1.0", provides: { frontend: "1.1.0" }, defines: { frontend: "1.2.0" } } },
    service("user", "api", { frontend: "^1.1" }),
  ]);
  await engine.start();
  assert.deepEqual(engine.trace, ["open frontend", "open api"]);
});

test("a cycle is named", async (test) => {
  const engine = world(test, [
    service("a", "state", { content: "^1.0" }),
    service("b", "content", { images: `^${contractVersions.images}` }),
    service("c", "images", { state: "^1.0" }),
  ]);
  await assert.rejects(engine.start(), coded("FailedPrecondition", /a → b → c → a/));
});

test("two plugins that provide one id are named", async (test) => {
  const engine = world(test, [driver("vfs", ""), { ...driver("vfs", ""), name: "other" }]);
  await assert.rejects(engine.start(), coded("AlreadyExists", /other provides storage\/vfs, as storage-vfs does/));
});

test("a package that is not installed", async (test) => {
  const engine = world(test, []);
  writeFileSync(join(engine.directory, "engine.json"), `{"plugins": ["tsbox-no-such-plugin"]}`);
  await assert.rejects(engine.start(), coded("NotFound", /npm install tsbox-no-such-plugin/));
});

test("a plugin that throws in setup is named", async (test) => {
  const engine = world(test, [service("a", "state"), { name: "bad", manifest: { kernel: "^1.0" }, setup: `throw new Error("boom");` }]);
  await assert.rejects(engine.start(), coded("Internal", /bad failed: boom/));
  assert.deepEqual(engine.trace, []);
});

test("a plugin that throws when imported is named", async (test) => {
  await assert.rejects(
    world(test, [{ name: "bad", manifest: { kernel: "^1.0" }, source: `throw new Error("boom");` }]).start(),
    coded("Internal", /bad failed: boom/),
  );
});

test("a module that is no plugin is named", async (test) => {
  await assert.rejects(
    world(test, [{ name: "bad", manifest: { kernel: "^1.0" }, source: `export default 1;` }]).start(),
    coded("InvalidArgument", /bad is no tsbox plugin/),
  );
});

test("a plugin that throws in open is named, and what was open is closed", async (test) => {
  const engine = world(test, [
    service("a", "state"),
    {
      name: "bad",
      manifest: { kernel: "^1.0", provides: { content: "1.0.0" }, needs: { state: "^1.0" } },
      setup: `context.provideService("content", { async open() { throw new Error("boom"); } });`,
    },
  ]);
  await assert.rejects(engine.start(), coded("Internal", /bad failed: boom/));
  assert.deepEqual(engine.trace, ["open state", "close state"]);
});

test("a plugin that throws in close is named, and the others are closed", async (test) => {
  const engine = world(test, [
    service("a", "state"),
    {
      name: "bad",
      manifest: { kernel: "^1.0", provides: { content: "1.0.0" }, needs: { state: "^1.0" } },
      setup: `context.provideService("content", { async open() { return {}; }, async close() { throw new Error("boom"); } });`,
    },
  ]);
  const host = await engine.start();
  await assert.rejects(host.stop(), coded("Internal", /bad failed: boom/));
  assert.deepEqual(engine.trace, ["open state", "close state"]);
});

test("config reaches the plugin's parser, whose refusal is named", async (test) => {
  const engine = world(test, [
    {
      name: "p",
      manifest: { kernel: "^1.0" },
      config: { size: 3 },
      source: `export default { parseConfig(raw) { if (raw.size !== 4) throw new Error("size must be 4"); return raw; }, setup(context) { trace("size " + context.config.size); } };`,
    },
  ]);
  await assert.rejects(engine.start(), coded("Internal", /p failed: size must be 4/));
  const entry = { name: "p", package: "p", config: { size: 4 } };
  await engine.start({ plugins: [entry] });
  assert.deepEqual(engine.trace, ["size 4"]);
  await assert.rejects(engine.start({ plugins: [entry, entry] }), coded("AlreadyExists", /two plugins are called p/));
});

test("a plugin gets what it needs and nothing else, and only from open on", async (test) => {
  const engine = world(test, [
    service("a", "host", {}, `{ cgroups: { layout: "v2" }, async usage() { return { bytes: 7, inodes: 1 }; } }`),
    {
      name: "p",
      manifest: { kernel: "^1.0", provides: { content: "1.0.0" }, needs: { host: "^1.0" } },
      setup: `const early = context.service("host").catch((error) => trace(error.code));
        context.provideService("content", { async open(call) {
          await early;
          const host = await context.service("host");
          trace(host.cgroups.layout + (await host.usage(call, "/")).bytes);
          await context.service("state").catch((error) => trace(error.code));
          return {};
        } });`,
    },
  ]);
  const host = await engine.start();
  assert.deepEqual(engine.trace, ["FailedPrecondition", "open host", "v27", "PermissionDenied"]);
  const toolkit: HostToolkit = host.service("host");
  assert.equal((await toolkit.usage(host.call(), "/")).bytes, 7);
  assert.ok(existsSync(join(engine.directory, "root/content")) && existsSync(join(engine.directory, "state/content")));
});

test("the choice: priority among the usable, recorded, then never changed silently", async (test) => {
  const no = `async () => ({ usable: false, reason: "needs btrfs; this is ext4", hint: "mount one" })`;
  const drivers = [driver("vfs", ""), driver("btrfs", "", no), driver("overlay", "")];
  const engine = world(test, drivers);
  const host = await engine.start();
  assert.deepEqual(
    (await host.drivers("storage")).map(({ id }) => id),
    ["overlay", "vfs", "btrfs"],
  );
  assert.deepEqual(await host.service("engine").choices(host.call()), [{ kind: "storage", id: "overlay", why: "priority" }]);
  assert.deepEqual(JSON.parse(readFileSync(join(engine.directory, "root/drivers.json"), "utf8")), { storage: "overlay" });
  await assert.rejects(host.driver("storage", "btrfs"), coded("Unsupported", /needs btrfs; this is ext4; mount one/));
  await assert.rejects(host.driver("storage", "zfs"), coded("DriverMissing", /installed: vfs, btrfs, overlay/));
  await assert.rejects(host.driver("storage", "aufs"), coded("DriverMissing", /is called aufs: overlay stands in its place;/));
  const statuses = await host.service("engine").plugins(host.call());
  assert.deepEqual(statuses.flatMap(({ offers }) => offers.map(({ offer, state }) => `${offer} ${state}`)).sort(), [
    "storage/btrfs skipped",
    "storage/overlay ok",
    "storage/vfs ok",
  ]);
  await host.stop();

  const named = await engine.start({ drivers: { storage: "vfs" } });
  assert.equal((await named.drivers("storage"))[0]?.id, "vfs");
  await named.stop();
  writeFileSync(join(engine.directory, "root/drivers.json"), `{"storage": "btrfs"}`);
  const recorded = await engine.start();
  await assert.rejects(recorded.drivers("storage"), coded("FailedPrecondition", /storage driver is btrfs .* needs btrfs; this is ext4/));
  await assert.rejects(
    engine.start({ drivers: { storage: "zfs" } }),
    coded("NotFound", /names the storage driver zfs.*installed: vfs, btrfs, overlay/),
  );
});

test("kinds that are chosen side by side are all recorded", async (t) => {
  const path = join(temporaryDirectory(t), "drivers.json");
  const choices = await Choices.read(path, {});
  await choices.settle();
  const kinds = ["storage", "exec", "network"];
  const usable = async (): Promise<{ usable: true; unsure: null; reason: string }> => ({ usable: true, unsure: null, reason: "" });
  await Promise.all(kinds.map((kind) => choices.choose(kind, () => ["own"], usable)));
  assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), { storage: "own", exec: "own", network: "own" });
});

test("a choice is recorded once all services stand: a start that failed before leaves no trace of a former engine", async (test) => {
  const early = (open: string): TestPlugin => ({
    name: "early",
    manifest: { kernel: "^1.0", provides: { images: contractVersions.images }, needs: { storage: "^1.0" } },
    setup: `context.provideService("images", { async open() { await context.drivers("storage"); ${open} return {}; } });`,
  });
  const failing = world(test, [driver("vfs", ""), early(`throw new Error("killed");`)]);
  await assert.rejects(failing.start(), coded("Internal", /killed/));
  assert.ok(!existsSync(join(failing.directory, "root/drivers.json")));
  const sound = world(test, [driver("vfs", ""), early("")]);
  await sound.start();
  assert.deepEqual(JSON.parse(readFileSync(join(sound.directory, "root/drivers.json"), "utf8")), { storage: "vfs" });
});

test("a probe that throws is a failure of that driver alone", async (test) => {
  const engine = world(test, [driver("vfs", ""), driver("overlay", "", `async () => { throw new Error("boom"); }`)]);
  const host = await engine.start();
  assert.equal((await host.drivers("storage"))[0]?.id, "vfs");
  const overlay = (await host.service("engine").plugins(host.call()))
    .flatMap(({ offers }) => offers)
    .find(({ offer }) => offer === "storage/overlay");
  assert.equal(overlay?.state, "failed");
});

test("a probe that lacks room is repeated, and no other driver is chosen in its place", async (test) => {
  const full = `(() => { let times = 0; return async () => {
    if (times++ < 2) throw Object.assign(new Error("ENOSPC: no space left on device, mkdir '/x'"), { code: "ENOSPC", errno: -28, syscall: "mkdir" });
    return { usable: true };
  }; })()`;
  const engine = world(test, [driver("vfs", ""), driver("overlay", "", full)]);
  const host = await engine.start();
  await assert.rejects(host.drivers("storage"), coded("ResourceExhausted", /^no space left on device: make some/));
  await assert.rejects(host.driver("storage", "overlay"), coded("ResourceExhausted", /^no space left on device: make some/));
  assert.ok(!existsSync(join(engine.directory, "root/drivers.json")));
  assert.deepEqual(await host.drivers("storage"), [
    { id: "overlay", usable: true },
    { id: "vfs", usable: true },
  ]);
  assert.deepEqual((await host.driver("storage", "overlay")).powers, []);
});

test("a driver that fails to open can be asked again", async (test) => {
  const engine = world(test, [
    {
      ...driver("vfs", ""),
      setup: `let times = 0; context.provideDriver("storage", "vfs", { async open() { if (times++ === 0) throw new Error("busy"); return { ${verbs} }; } });`,
    },
  ]);
  const host = await engine.start();
  await assert.rejects(host.driver("storage", "vfs"), coded("Internal", /busy/));
  assert.deepEqual((await host.driver("storage", "vfs")).powers, []);
});

test("what a driver throws that is not ours is Internal, stamped with the plugin", async (test) => {
  const engine = world(test, [
    driver(
      "vfs",
      `async stat() { throw Object.assign(new Error("no space"), { errno: -28, syscall: "mkdir", path: "/x" }); }, usage() { throw null; }`,
    ),
  ]);
  const host = await engine.start();
  const storage = await host.driver("storage", "vfs");
  await assert.rejects(stat(storage, host.call()), (error: TsboxError) => {
    assert.deepEqual([error.code, error.plugin, error.errno, error.syscall, error.path], ["Internal", "storage-vfs", 28, "mkdir", "/x"]);
    assert.ok(error.cause instanceof Error);
    return true;
  });
  await assert.rejects(storage.usage(host.call(), "x" as never), coded("Internal", /storage-vfs failed: thrown: null/));
});

test("an error of ours, even from another copy of the kernel, keeps its code and gets the plugin's name", async (test) => {
  const foreign = `Object.assign(new Error("gone"), { code: "NotFound", [Symbol.for("tsbox.error")]: true, with(fields) { return Object.assign(this, fields); } })`;
  const host = await world(test, [driver("vfs", `async stat() { throw ${foreign}; }`)]).start();
  await assert.rejects(
    stat(await host.driver("storage", "vfs"), host.call()),
    (error: TsboxError) => error.code === "NotFound" && error.plugin === "storage-vfs",
  );
});

test("a driver slower than its deadline is canceled, and abandoned when it does not stop", async (test) => {
  const engine = world(test, [
    driver(
      "vfs",
      `stat: (call) => new Promise((_, reject) => call.signal.addEventListener("abort", () => { trace("told"); reject(call.signal.reason); })),
       usage: () => new Promise(() => {}),`,
    ),
  ]);
  const host = await engine.start({ deadlines: { storage: 0.05 } });
  const storage = await host.driver("storage", "vfs");
  await assert.rejects(stat(storage, host.call()), coded("DeadlineExceeded", /storage\/vfs did not answer stat within 0\.05 s/));
  assert.deepEqual(engine.trace, ["open vfs", "told"]);
  await assert.rejects(storage.usage(host.call(), "x" as never), coded("DeadlineExceeded", /did not answer usage/));
  await assert.rejects(storage.usage(host.call({ timeout: 10 }), "x" as never), coded("DeadlineExceeded", /within 0\.0\d+ s/));
});

test("a caller's cancel reaches the driver, with its reason", async (test) => {
  const host = await world(test, [
    driver("vfs", `stat: (call) => new Promise((_, reject) => call.signal.addEventListener("abort", () => reject(call.signal.reason))),`),
  ]).start();
  const controller = new AbortController();
  const pending = stat(await host.driver("storage", "vfs"), host.call({ signal: controller.signal }));
  controller.abort(fail("Canceled", "ctrl-C"));
  await assert.rejects(pending, coded("Canceled", /ctrl-C/));
});

test("leaving a stream aborts the call behind it; an error in it is stamped", async (test) => {
  const engine = world(test, [
    driver(
      "vfs",
      `async list(call) { call.signal.addEventListener("abort", () => trace("aborted")); return (async function* () { yield 1; yield 2; throw new Error("torn"); })(); },`,
    ),
  ]);
  const host = await engine.start();
  const storage = await host.driver("storage", "vfs");
  for await (const each of await storage.list(host.call())) if (each) break;
  assert.deepEqual(engine.trace, ["open vfs", "aborted"]);
  await assert.rejects(
    async () => {
      for await (const each of await storage.list(host.call())) assert.ok(each);
    },
    coded("Internal", /storage-vfs failed: torn/),
  );
});

test("a probe that never answers delays neither the choice, nor lists, nor the end", async (test) => {
  const never = "() => new Promise(() => {})";
  const engine = world(test, [driver("vfs", ""), driver("overlay", ""), driver("btrfs", "", never)]);
  const host = await engine.start({}, 20, { probe: 3_000, look: 20 });
  assert.equal(await host.preferred("storage"), "overlay");
  const [, , slow] = await host.drivers("storage");
  assert.deepEqual(slow, { id: "btrfs", usable: false, reason: "storage/btrfs has not answered its probe for 0.02 s", hint: null });
  await assert.rejects(host.driver("storage", "btrfs"), coded("DeadlineExceeded", /storage\/btrfs did not answer probe within 3 s/));
  const shown = (await host.service("engine").plugins(host.call())).flatMap(({ offers }) => offers);
  assert.equal(shown.find(({ offer }) => offer === "storage/btrfs")?.state, "failed");
  await host.stop();
});

test("a probe that never answers of the first driver by rank leaves the choice to the next", async (test) => {
  const engine = world(test, [driver("vfs", ""), driver("overlay", "", "() => new Promise(() => {})")]);
  const host = await engine.start({}, 20, { probe: 50 });
  assert.equal(await host.preferred("storage"), "vfs");
  assert.ok(!existsSync(join(engine.directory, "root/drivers.json")), "a choice that may be another one tomorrow is recorded");
});

test("an opening or closing that never answers is an error of that plugin, and the others are closed", async (test) => {
  const slow = (open: string, close: string): TestPlugin => ({
    name: "slow",
    manifest: { kernel: "^1.0", provides: { "storage/slow": "1.0.0" }, needs: {} },
    setup: `context.provideDriver("storage", "slow", { async open(call) { ${open} return { ${verbs} }; }, async close() { trace("close slow"); ${close} } });`,
  });
  const never = "await new Promise(() => {});";
  const opening = await world(test, [service("a", "state"), slow(never, "")]).start({}, 20, { open: 50 });
  await assert.rejects(opening.driver("storage", "slow"), coded("DeadlineExceeded", /storage\/slow did not answer open within/));
  await opening.stop();
  const closing = world(test, [service("a", "state"), slow("", never)]);
  const host = await closing.start({}, 20, { close: 50 });
  await host.driver("storage", "slow");
  await assert.rejects(host.stop(), coded("DeadlineExceeded", /storage\/slow did not answer close within/));
  assert.deepEqual(closing.trace, ["open state", "close slow", "close state"]);
});

test("a module or a setup that never ends is an error of that plugin", async (test) => {
  const loading = world(test, [
    { name: "slow", manifest: { kernel: "^1.0" }, source: "await new Promise(() => {}); export default null;" },
  ]);
  await assert.rejects(loading.start({}, 20, { load: 50 }), coded("DeadlineExceeded", /slow did not answer load within 0\.0/));
  const source = `export default { parseConfig: () => null, setup: () => new Promise(() => {}) };`;
  const setting = world(test, [service("a", "state"), { name: "slow", manifest: { kernel: "^1.0" }, source }]);
  await assert.rejects(setting.start({}, 20, { setup: 50 }), coded("DeadlineExceeded", /slow did not answer setup within 0\.0/));
  assert.deepEqual(setting.trace, []);
});

test("an asynchronous setup is waited for, and its error is the plugin's", async (test) => {
  const { setup = "" } = driver("vfs", "");
  const later = {
    ...driver("vfs", ""),
    source: `export default { parseConfig: () => null, async setup(context) { await null; ${setup} } };`,
  };
  assert.deepEqual((await (await world(test, [later]).start()).driver("storage", "vfs")).powers, []);
  const source = `export default { parseConfig: () => null, async setup() { await null; throw new Error("boom"); } };`;
  await assert.rejects(world(test, [{ name: "bad", manifest: { kernel: "^1.0" }, source }]).start(), coded("Internal", /bad failed: boom/));
});

test("what opens after its deadline is closed", async (test) => {
  const engine = world(test, [
    {
      name: "late",
      manifest: { kernel: "^1.0", provides: { "storage/late": "1.0.0" } },
      setup: `context.provideDriver("storage", "late", {
        open: (call) => new Promise((resolve) => call.signal.addEventListener("abort", () => setTimeout(() => resolve({ ${verbs} }), 60))),
        async close() { trace("close late"); globalThis.lateClosed(); },
      });`,
    },
  ]);
  const closed = new Promise((resolve) => Reflect.set(globalThis, "lateClosed", resolve));
  const host = await engine.start({}, 20, { open: 20 });
  await assert.rejects(host.driver("storage", "late"), coded("DeadlineExceeded", /did not answer open/));
  await closed;
  assert.deepEqual(engine.trace, ["close late"]);
});

test("a driver without a verb of its contract or of a power that it declares is refused, and closed", async (test) => {
  for (const [body, text] of [
    ["stat: undefined,", /storage-vfs opened storage\/vfs without the verb stat, which each storage driver has; install another version/],
    ["powers: undefined,", /storage-vfs opened storage\/vfs without the list of its powers/],
    ['powers: ["diff"],', /storage-vfs opened storage\/vfs with the power diff, but without its verb diff/],
  ] as const) {
    const engine = world(test, [driver("vfs", body)]);
    const host = await engine.start();
    await assert.rejects(host.driver("storage", "vfs"), coded("InvalidArgument", text));
    assert.deepEqual(engine.trace, ["open vfs", "close vfs"]);
  }
  // A power that a plugin brings is not known to the kernel.
  const own = world(test, [driver("vfs", 'powers: ["teleport", "diff"], async diff() {},')]);
  assert.deepEqual((await (await own.start()).driver("storage", "vfs")).powers, ["teleport", "diff"]);
});

test("a tap of a hook that no plugin provides is refused", async (test) => {
  const tapping = (hook: string): TestPlugin => ({
    name: "policy",
    manifest: { kernel: "^1.0" },
    setup: `context.tap("${hook}", async () => trace("tapped"));`,
  });
  await assert.rejects(
    world(test, [tapping("redy")]).start(),
    coded("InvalidArgument", /policy taps the hook redy, which no plugin provides; there are: ready, shutdown/),
  );
  const right = world(test, [tapping("ready")]);
  await right.start();
  assert.deepEqual(right.trace, ["tapped"]);
});

test("the default is the usable driver with the highest rank, a stranger's too", async (test) => {
  const stranger = (rank: number): TestPlugin => {
    const plugin = driver("zfs", "");
    return { ...plugin, manifest: { ...plugin.manifest, rank: { "storage/zfs": rank } } };
  };
  assert.equal(await (await world(test, [driver("overlay", ""), stranger(200)]).start()).preferred("storage"), "zfs");
  assert.equal(await (await world(test, [stranger(5), driver("overlay", "")]).start()).preferred("storage"), "overlay");
  await assert.rejects(world(test, [stranger(-1)]).start(), coded("InvalidArgument", /tsbox\.rank\.storage\/zfs must be a number above 0/));
  const plugin = driver("vfs", "");
  await assert.rejects(
    world(test, [{ ...plugin, manifest: { ...plugin.manifest, rank: { "storage/zfs": 5 } } }]).start(),
    coded("InvalidArgument", /tsbox\.rank: unknown key "storage\/zfs"; known are storage\/vfs/),
  );
});

test("a named driver that can't be used here fails the start with the reason", async (test) => {
  const no = `async () => ({ usable: false, reason: "needs btrfs; this is ext4", hint: "mount one" })`;
  await assert.rejects(
    world(test, [driver("vfs", ""), driver("btrfs", "", no)]).start({ drivers: { storage: "btrfs" } }),
    coded("Unsupported", /the config file names the storage driver btrfs, which can't be used here: needs btrfs; this is ext4/),
  );
});

test("an operator switches a plugin of the engine off, or configures it, by its name", async (test) => {
  const entry = (more: object) => ({ name: "storage-vfs", package: "", config: undefined, ...more });
  const vfs = driver("vfs", "");
  const traced = { ...vfs, setup: `${vfs.setup} if (context.config) trace("config " + JSON.stringify(context.config));` };
  const engine = world(test, [traced, driver("overlay", "")]);
  const without = await engine.start({ plugins: [entry({ enabled: false })] });
  await assert.rejects(without.driver("storage", "vfs"), coded("DriverMissing", /installed: overlay/));
  await without.stop();
  await engine.start({ plugins: [entry({ config: { a: 1 } })] });
  assert.deepEqual(engine.trace, ['config {"a":1}']);
  await assert.rejects(
    engine.start({ plugins: [{ ...entry({}), name: "storage-zfs" }] }),
    coded(
      "NotFound",
      /names the plugin storage-zfs without a "package", and the engine has none of that name; it has storage-vfs, storage-overlay/,
    ),
  );
});

test("a deadline of an unknown kind is refused", async (test) => {
  await assert.rejects(
    world(test, [driver("vfs", "")]).start({ deadlines: { stroage: 3 } }),
    coded("InvalidArgument", /"deadlines" names stroage, which is no kind of driver; known are hook, storage/),
  );
});

test("an error is known by the plugin whose code it comes from", async (test) => {
  const engine = world(test, [
    driver("vfs", `async stat() { globalThis.strayError = new Error("nobody waits for this"); return null; }`),
    service("a", "state"),
  ]);
  const host = await engine.start();
  await stat(await host.driver("storage", "vfs"), host.call());
  assert.equal(host.pluginOf(Reflect.get(globalThis, "strayError") as Error), "storage-vfs");
  assert.equal(host.pluginOf(new Error("ours")), null);
});

test("isolation process is refused with a message, as long as there is no process host", async (test) => {
  const engine = world(test, [{ name: "p", manifest: { kernel: "^1.0", isolation: "process" } }]);
  await assert.rejects(engine.start(), coded("Unsupported", /"isolation": \{"p": "none"\}/));
  await engine.start({ isolation: { p: "none" } });
});

test("a verb through the host costs microseconds", async (test) => {
  const host = await world(test, [driver("vfs", `async stat() { return null; }`)]).start();
  const storage = await host.driver("storage", "vfs");
  const call = host.call();
  for (let i = 0; i < 2_000; i++) await stat(storage, call);
  const began = performance.now();
  for (let i = 0; i < 5_000; i++) await stat(storage, call);
  const each = ((performance.now() - began) / 5_000) * 1000;
  assert.ok(each < 100, `${each.toFixed(1)} µs a call`);
});
