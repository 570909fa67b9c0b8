/** Several drivers of one package: the config file sets a plugin up once more, under another id. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { suite } from "@tsbox/harness";
import { isTsboxError } from "../src/index.ts";
import { type TestPlugin, world } from "./world.ts";

const test = suite("further drivers");

/** Traces the config, engine id and directories of each set-up when its driver is opened. */
const volumes: TestPlugin = {
  name: "@strangers/volumes",
  manifest: {
    kernel: "^1.0",
    provides: { "volume/disk": "1.0.0", "volume/memory": "1.0.0" },
    rank: { "volume/disk": 5 },
    defines: { weather: "1.0.0" },
  },
  setup: `
    const verbs = Object.fromEntries("create remove attach detach stat usage list".split(" ").map((verb) => [verb, async () => {}]));
    const own = (word) => word.slice(word.lastIndexOf("/") + 1);
    for (const id of ["disk", "memory"])
      context.provideDriver("volume", id, {
        open: async () => {
          trace([id, JSON.stringify(context.config), own(context.rootDirectory), own(context.stateDirectory), context.engineId].join(" "));
          return { powers: [], ...verbs };
        },
        close: async () => trace("close " + id),
      });`,
};
const refused = (code: string, text: RegExp) => (error: unknown) => {
  assert.ok(isTsboxError(error), String(error));
  assert.equal(error.code, code);
  assert.match(error.message, text);
  assert.ok(!error.message.includes("\n"), "one line");
  return true;
};

test("a driver is set up once more with its own id, config, directories and engine id", async (test) => {
  const engine = world(test, [volumes]);
  const volume = { fast: { driver: "disk", config: { path: "/ssd" } }, plain: { driver: "disk", config: undefined } };
  const host = await engine.start({ volume });
  for (const id of ["disk", "fast", "plain"]) await host.driver("volume", id);
  const seen = engine.trace.map((line) => line.split(" "));
  assert.deepEqual(
    seen.map((words) => words.slice(0, 4)),
    [
      ["disk", "", "@strangers+volumes", "@strangers+volumes"],
      ["disk", '{"path":"/ssd"}', "volume-fast", "volume-fast"],
      ["disk", "", "volume-plain", "volume-plain"],
    ],
  );
  const ids = seen.map((words) => words[4] ?? "");
  assert.equal(ids[0], "t1");
  assert.equal(new Set(ids).size, 3, "two set-ups make things of the same name on the host");
  for (const id of ids.slice(1)) assert.match(id, /^[0-9a-f]{8}$/);
  assert.ok(existsSync(join(engine.directory, "root/volume-fast")));
  // The other driver of the package comes from its own set-up alone.
  assert.deepEqual((await host.drivers("volume")).map(({ id }) => id).sort(), ["disk", "fast", "memory", "plain"]);
  assert.equal(await host.preferred("volume"), "disk");
  const shown = await host.service("engine").plugins(host.call());
  assert.deepEqual(
    shown.map(({ name, offers }) => [name, offers.map(({ offer }) => offer)]),
    [
      ["@strangers/volumes", ["volume/disk", "volume/memory"]],
      ["volume-fast", ["volume/fast"]],
      ["volume-plain", ["volume/plain"]],
    ],
  );
  await host.stop();

  // The same ids at each start: what an earlier daemon left is found again.
  engine.trace.length = 0;
  const again = await engine.start({ volume, drivers: { volume: "fast" } });
  assert.equal(await again.preferred("volume"), "fast");
  await again.driver("volume", "fast");
  assert.deepEqual(engine.trace[0]?.split(" ")[4], ids[1]);
});

test("what can't be set up is refused in words, before any code runs", async (test) => {
  const engine = world(test, [volumes, { name: "volume-slow", manifest: { kernel: "^1.0" }, setup: `trace("set up")` }]);
  for (const [config, code, text] of [
    [
      { volume: { fast: { driver: "dsik", config: undefined } } },
      "NotFound",
      /the config file's volume\.fast names the volume driver dsik, which no plugin provides \(installed: disk, memory\); add its plugin/,
    ],
    [
      { log: { far: { driver: "syslog", config: undefined } } },
      "NotFound",
      /log\.far names the log driver syslog, which no plugin provides \(no log driver is installed\)/,
    ],
    [
      { volume: { memory: { driver: "disk", config: undefined } } },
      "AlreadyExists",
      /the config file's volume\.memory has the id of the driver of @strangers\/volumes: choose another id/,
    ],
    [
      { volume: { slow: { driver: "disk", config: undefined } } },
      "AlreadyExists",
      /volume\.slow is set up as the plugin volume-slow, but another plugin has that name: choose another id/,
    ],
    // A further driver is made of a plugin's own, never of another further one.
    [
      { volume: { fast: { driver: "disk", config: undefined }, faster: { driver: "fast", config: undefined } } },
      "NotFound",
      /volume\.faster names the volume driver fast, which no plugin provides/,
    ],
  ] as const) {
    await assert.rejects(engine.start(config), refused(code, text));
  }
  assert.deepEqual(engine.trace, []);
});

test("a config that the plugin refuses is refused under the name of the set-up", async (test) => {
  const engine = world(test, [
    {
      ...volumes,
      source: `export default { parseConfig(raw) { if (raw?.path === 3) throw new Error("path must be text"); return raw; }, setup(context) { ${volumes.setup} } };`,
    },
  ]);
  await assert.rejects(
    engine.start({ volume: { fast: { driver: "disk", config: { path: 3 } } } }),
    refused("Internal", /volume-fast failed: path must be text/),
  );
});
