/** The structure of the tree, as docs/architecture.md describes it: imports have one direction. */
import assert from "node:assert/strict";
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join } from "node:path";
import { circles, type Layers, layerFaults, rustImports, typescriptImports, unimported } from "../src/import-graph.ts";
import { suite, temporaryDirectory } from "../src/index.ts";

const test = suite("imports");
const root = join(import.meta.dirname, "..", "..", "..");
const sources = ["kernel/src/**/*.ts", "plugins/*/src/**/*.ts", "drivers/*/src/**/*.ts", "conformance/src/**/*.ts"];
const helpers = ["test/*/src/**/*.ts", "bench/*.ts"];
const tests = ["{kernel,plugins/*,drivers/*,conformance,test/harness}/test/**/*.ts", "test/e2e/{cases,full}/*.ts", "test/run.ts"];

/** Files that start processes, or that are loaded by name. */
const entries: readonly RegExp[] = [
  /^kernel\/src\/(index|host\/index|snapshots\/index)\.ts$/,
  /^(plugins|drivers)\/[^/]+\/src\/index\.ts$/,
  /^conformance\/src\/(index|broken\/[^/]+|reference\/memory-world|storage\/victim)\.ts$/,
  // The daemon, the portable client, the reader of logins for the native client, the checker of a database, the test runner, benchmarks.
  /^(kernel\/src\/host\/main|plugins\/cli\/src\/(portable|read-logins|check-words)|plugins\/state\/src\/check|test\/harness\/src\/(run|index|own-network)|bench\/bench)\.ts$/,
];

/** The command starts the suite, which is loaded only on request and need not be installed. */
const front: ReadonlySet<string> = new Set(["plugins/cli/src/commands/conformance.ts @tsbox/conformance"]);

test("no file imports itself, however far round, in TypeScript or in Rust", () => {
  assert.deepEqual(circles(typescriptImports(root, [...sources, ...helpers]).files), []);
  assert.deepEqual(circles(rustImports(root)), []);
});

/**
 * The layers of the native side from bottom to top, as in native/core/src/lib.rs. A file imports files of lower layers or of its own
 * folder. Entries of one line are on the same level.
 */
const nativeLayers: Layers = [
  ["native/core/src/failure.rs", "native/core/src/limits.rs"],
  ["native/core/src/id_maps.rs"],
  ["native/core/src/sys/"],
  ["native/core/src/tree/"],
  ["native/core/src/block/"],
  ["native/core/src/mount/"],
  ["native/core/src/container/", "native/core/src/layer/", "native/core/src/net/", "native/core/src/peer/"],
  ["native/core/src/fuzzing/", "native/core/src/lib.rs"],
  ["native/runtime/src/", "native/client/src/", "native/node/src/"],
  ["native/shim/src/"],
  ["native/launcher/src/"],
  ["native/tsbox/src/"],
];

test("in Rust, every import leads down the layers", () => {
  assert.deepEqual(layerFaults(rustImports(root), nativeLayers), []);
});

test("a package reaches another one by its name, and plugins reach the kernel alone", () => {
  const { files, packages } = typescriptImports(root, sources);
  const wrong: string[] = [];
  for (const [file, targets] of files)
    for (const target of targets) if (packageOf(target) !== packageOf(file)) wrong.push(`${file} imports ${target} by its path`);
  for (const [file, names] of packages) {
    const { dependencies = {}, peerDependencies = {}, optionalDependencies = {} } = manifestOf(file);
    const known = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies), ...Object.keys(optionalDependencies)]);
    for (const name of names) {
      const [scope = "", rest = ""] = name.split("/");
      const bare = scope.startsWith("@") ? `${scope}/${rest}` : scope;
      if (bare.startsWith("node:") || builtinModules.includes(bare)) continue;
      if (front.has(`${file} ${bare}`)) continue;
      if (!known.has(bare)) wrong.push(`${file} imports ${bare}, which its package does not name`);
      // What a driver's package brings for its suite.
      if (/^drivers\/[^/]+\/src\/conformance\.ts$/.test(file) && bare === "@tsbox/conformance") continue;
      if (/^(plugins|drivers)\//.test(file) && bare.startsWith("@tsbox/") && bare !== "@tsbox/kernel")
        wrong.push(`${file} imports ${bare}`);
      if (file.startsWith("kernel/") && bare.startsWith("@tsbox/")) wrong.push(`${file}: the kernel imports ${bare}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("every file is imported by another one, or is where something starts", () => {
  const used = unimported(typescriptImports(root, [...sources, ...helpers, ...tests]).files);
  const isTest = (file: string): boolean => !/(^|\/)src\/|^bench\//.test(file);
  const lost = used.filter((file) => !isTest(file) && !entries.some((entry) => entry.test(file)));
  assert.deepEqual(lost, []);
});

test("the walk finds what it is to find", (t) => {
  const directory = temporaryDirectory(t);
  const write = (path: string, text: string): void => {
    mkdirSync(join(directory, dirname(path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  };
  write("a/one.ts", 'import type { Two } from "./two.ts";\nimport { x } from "far";\n');
  write("a/two.ts", 'export * from "./three.ts";\n');
  write("a/three.ts", 'const one = await import("./one.ts");\n');
  write("a/alone.ts", "");
  const { files, packages } = typescriptImports(directory, ["a/*.ts"]);
  assert.deepEqual(circles(files), [["a/one.ts", "a/three.ts", "a/two.ts"]]);
  assert.deepEqual([...(packages.get("a/one.ts") ?? [])], ["far"]);
  assert.deepEqual(unimported(files), ["a/alone.ts"]);
  write("native/core/src/lib.rs", "pub mod net;\nmod mount;\n");
  write("native/core/src/net/mod.rs", "mod codec;\nmod wall;\n");
  write("native/core/src/net/codec.rs", "use super::wall::{Part, Set};\nuse crate::mount;\n");
  write("native/core/src/net/wall.rs", "// use super::codec;\nfn f() { super::codec::encode() }\n");
  write("native/core/src/mount.rs", "#[cfg(test)]\nmod tests { use crate::net::codec; }\n");
  assert.deepEqual(circles(rustImports(directory)), [["native/core/src/net/codec.rs", "native/core/src/net/wall.rs"]]);
  write("native/core/src/low/mod.rs", "use crate::{failure, net::codec};\n");
  write("native/core/src/beside.rs", "use crate::low;\n");
  write("native/core/src/failure.rs", "");
  write("native/shim/src/lib.rs", "mod serve;\n");
  write("native/shim/src/serve.rs", "use tsbox_core::net::codec::encode;\nuse crate::lost;\n");
  const layers = [["native/core/src/failure.rs"], ["native/core/src/low/", "native/core/src/beside.rs"], ["native/core/src/"]];
  assert.deepEqual(layerFaults(rustImports(directory), [...layers, ["native/shim/src/lib.rs"]]), [
    "native/core/src/beside.rs imports native/core/src/low/mod.rs, which stands beside it",
    "native/core/src/low/mod.rs imports native/core/src/net/codec.rs, which is above it",
    "native/shim/src/serve.rs belongs to no layer",
  ]);
  assert.deepEqual(
    [...(rustImports(directory).get("native/shim/src/serve.rs") ?? [])],
    ["native/shim/src/lib.rs", "native/core/src/net/codec.rs"],
  );
});

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const packages: ReadonlySet<string> = new Set(
  globSync("{kernel,conformance,plugins/*,drivers/*}/package.json", { cwd: root }).map(dirname),
);
const packageOf = (file: string): string => [...packages].find((one) => file.startsWith(`${one}/`)) ?? "";
const manifestOf = (file: string): Manifest => JSON.parse(readFileSync(join(root, packageOf(file), "package.json"), "utf8")) as Manifest;
