/** The generated documents match the sources. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { configuredPlugins, documents } from "../src/documents.ts";
import { driverPackages, readReports } from "../src/driver-reports.ts";
import { suite } from "../src/index.ts";

const test = suite("documents");
const root = join(import.meta.dirname, "..", "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

for (const [path, text] of documents())
  test(`${path} is made from the sources of today`, () => {
    assert.equal(read(path), text, `${path} is out of date: node test/harness/src/documents.ts --write`);
  });

test("docs/drivers.json has a passed report of each driver whose kind has a suite, and docs/drivers.md names each driver", () => {
  const reports = readReports();
  const withSuite = new Set(Object.keys(reports).map((name) => name.slice(0, name.indexOf("/"))));
  for (const kind of ["exec", "network", "storage", "volume"]) assert.ok(withSuite.has(kind), `no report of a ${kind} driver`);
  const text = read("docs/drivers.md");
  const names = driverPackages().map(({ kind, id }) => `${kind}/${id}`);
  for (const { kind, id, path } of driverPackages()) {
    assert.ok(text.includes(`[${id}](../${path}/README.md)`), `${path} is not in docs/drivers.md`);
    if (!withSuite.has(kind)) continue;
    const report = reports[`${kind}/${id}`];
    assert.ok(report !== undefined, `${path} has no report: node test/harness/src/driver-reports.ts ${kind}/${id}`);
    assert.equal(report.failed, 0, path);
    assert.ok(report.passed > 1 || report.unusable !== null, path);
  }
  assert.deepEqual(
    Object.keys(reports).filter((name) => !names.includes(name)),
    [],
  );
});

test("each setting of a plugin has the default that its doc comment names", async () => {
  for (const path of configuredPlugins()) {
    const { default: plugin } = (await import(join(root, path))) as { default: { parseConfig(raw: unknown): Record<string, unknown> } };
    // Null stands for "none"; another one is as an operator writes it.
    const documented = [...read("docs/configuration.md").matchAll(/^\| `(\w+)` \| .* Default: (?:none\b.*|`(.*)`)\. \|$/gm)];
    const settings = Object.entries(plugin.parseConfig(undefined));
    assert.ok(settings.length > 0);
    for (const [key, value] of settings)
      assert.ok(
        documented.some(([, name, text]) => {
          if (name !== key) return false;
          if (text === undefined) return value === null;
          return JSON.stringify(plugin.parseConfig({ [key]: JSON.parse(text) })[key]) === JSON.stringify(value);
        }),
        `${path}: ${key} is ${JSON.stringify(value)} where nothing is set`,
      );
    assert.throws(() => plugin.parseConfig({ unheardOf: 1 }), /unknown key "unheardOf" in the plugin's config/);
  }
});

test("a plugin without settings refuses them", async () => {
  const others = globSync(["plugins/*/src/index.ts", "drivers/*/src/index.ts"], { cwd: root }).filter(
    (path) => !configuredPlugins().includes(path),
  );
  assert.ok(others.length > 15);
  for (const path of others) {
    const { default: plugin } = (await import(join(root, path))) as { default: { parseConfig(raw: unknown): unknown } };
    assert.equal(plugin.parseConfig(undefined), null);
    assert.equal(plugin.parseConfig({}), null);
    assert.throws(() => plugin.parseConfig({ unheardOf: 1 }), /takes no config; remove it/, path);
  }
});

test("every variable of the environment that the engine reads is documented", () => {
  const sources = globSync(["kernel/src/**/*.ts", "plugins/*/src/**/*.ts", "drivers/*/src/**/*.ts", "native/*/src/**/*.rs", "tsbox"], {
    cwd: root,
    exclude: (path) => path.includes("node_modules") || path.includes("fuzzing"),
  });
  const named = new Set(sources.flatMap((path) => read(path).match(/\bTSBOX_[A-Z]+\b/g) ?? []));
  const documented = new Set(read("docs/configuration.md").match(/\bTSBOX_[A-Z]+\b/g) ?? []);
  assert.deepEqual([...named].sort(), [...documented].sort());
});
