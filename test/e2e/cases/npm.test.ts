/**
 * Packages as npm packs them: what their tarballs hold, and that a stranger's plugin, installed from npm beside a kernel of its own, works
 * in the daemon of a checkout and on an installed kernel, each time with the kernel that runs it.
 */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, engine, home } from "../src/engine.ts";

const test = suite("npm packages", { timeout: 400_000 });
const reason =
  needsRoot() ??
  (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ??
  (spawnSync("npm", ["--version"]).status === 0 ? null : "npm is not installed") ??
  needsBusybox();

const packed = ["kernel", "conformance", "storage-vfs"];

function ok(directory: string, program: string, argv: readonly string[]): string {
  const child: SpawnSyncReturns<string> = spawnSync(program, argv, { cwd: directory, encoding: "utf8", timeout: 200_000 });
  if (child.status !== 0) throw new Error(`${program} ${argv.join(" ")}: ${child.error?.message ?? ""}${child.stdout}${child.stderr}`);
  return child.stdout;
}

/** The directories of packages in the checkout, with those that they depend on: npm installs them from there, without a registry. */
function withDependencies(names: readonly string[], found: Set<string> = new Set()): readonly string[] {
  for (const name of names) {
    const directory = join(home, "node_modules", name);
    if (found.has(directory)) continue;
    found.add(directory);
    withDependencies(dependenciesOf(directory), found);
  }
  return [...found];
}
function dependenciesOf(directory: string): readonly string[] {
  const { dependencies = {} } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as { readonly dependencies?: object };
  return Object.keys(dependencies);
}

/** A plugin in plain JavaScript: it adds to each container's environment where the kernel that it has imported lies. */
function stranger(directory: string): string {
  const path = join(directory, "tsbox-stranger");
  mkdirSync(path);
  const manifest = { name: "tsbox-stranger", version: "1.0.0", type: "module", exports: "./index.js", tsbox: { kernel: "^1.0" } };
  writeFileSync(join(path, "package.json"), JSON.stringify({ ...manifest, peerDependencies: { "@tsbox/kernel": "^0.1.0" } }));
  const source = `
    import { contractVersions, fail } from "@tsbox/kernel";
    globalThis.strangersKernel = contractVersions;
    const [, where] = /file:\\/\\/(\\S+?):\\d/.exec(fail("Internal", "").stack);
    export default {
      parseConfig: () => null,
      setup(context) {
        context.tap("buildSpec", async (call, spec) => ({ ...spec, process: { ...spec.process, env: [...spec.process.env, "KERNEL=" + where] } }));
      },
    };`;
  writeFileSync(join(path, "index.js"), source);
  return path;
}

function filesOf(tarball: string): readonly string[] {
  const listed = ok("/", "tar", ["tzf", tarball]).split("\n").filter(Boolean);
  return listed.map((path) => path.replace(/^package\//, ""));
}

test.skipIf(reason, "the addon is packed as a package that loads", (t) => {
  const directory = temporaryDirectory(t);
  ok(home, "npm", ["pack", "--silent", "--pack-destination", directory, "-w", "@tsbox/native"]);
  const tarball = join(directory, "tsbox-native-0.1.0.tgz");
  assert.equal([...filesOf(tarball)].sort(), ["LICENSE", "README.md", "index.node", "package.json"]);
  ok(directory, "tar", ["xzf", tarball]);
  assert.is(ok(directory, process.execPath, ["-p", `typeof require("./package")`]), "object\n");
});

test.skipIf(reason, "packed, installed in an empty folder, loaded by a checkout's daemon and by an installed kernel", async (t) => {
  const directory = temporaryDirectory(t);
  ok(home, "npm", ["pack", "--silent", "--pack-destination", directory, ...packed.flatMap((name) => ["-w", `@tsbox/${name}`])]);
  const tarballs = packed.map((name) => join(directory, `tsbox-${name}-0.1.0.tgz`));
  for (const tarball of tarballs) {
    const files = filesOf(tarball);
    for (const wanted of ["package.json", "README.md", "LICENSE", "dist/src/index.js", "dist/src/index.d.ts"])
      assert.ok(files.includes(wanted), `${tarball} has no ${wanted}`);
    const others = files.filter((path) => !/^(package\.json|README\.md|LICENSE|dist\/src\/.+\.js|dist\/src\/.+\.d\.ts)$/.test(path));
    assert.equal(others, [], tarball);
  }

  const folder = join(directory, "folder");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), `{"private": true, "type": "module"}`);
  const dependencies = withDependencies(dependenciesOf(join(home, "kernel")));
  const install = ["install", "--offline", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--install-links"];
  ok(folder, "npm", [...install, ...tarballs, stranger(directory), ...dependencies]);
  const modules = join(folder, "node_modules");
  // One more kernel, as npm puts it there when the versions differ.
  cpSync(join(modules, "@tsbox/kernel"), join(modules, "tsbox-stranger/node_modules/@tsbox/kernel"), { recursive: true });

  const config = join(directory, "config.json");
  const plugins = [
    { package: join(modules, "tsbox-stranger") },
    { name: "@tsbox/storage-vfs", package: join(modules, "@tsbox/storage-vfs") },
  ];
  writeFileSync(config, JSON.stringify({ plugins }));
  const own = await engine(t, config);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  const said = await own.ok(["run", "--rm", "--net", "none", "--storage", "vfs", "bb", "sh", "-c", "echo $KERNEL"]);
  assert.is(said, `${join(home, "kernel/src/errors/error.ts")}\n`);

  writeFileSync(
    join(folder, "load.js"),
    `import { contractVersions } from "@tsbox/kernel";
     import { importPlugin, readManifest } from "@tsbox/kernel/host";
     import { storageRules } from "@tsbox/conformance";
     await importPlugin(await readManifest({ name: "stranger", package: "tsbox-stranger", config: null }, [import.meta.dirname]));
     console.log(Object.is(globalThis.strangersKernel, contractVersions), storageRules.length > 20);`,
  );
  assert.is(ok(folder, process.execPath, ["load.js"]), "true true\n");

  // The declarations say what a hook's tap gets.
  writeFileSync(
    join(folder, "typed.ts"),
    `import { fail, type Plugin, type StorageDriver, supports } from "@tsbox/kernel";
     import { SnapshotStore } from "@tsbox/kernel/snapshots";
     import { suite } from "@tsbox/conformance";
     export const plugin: Plugin<null> = {
       parseConfig: () => null,
       setup(context) {
         context.tap("beforeStart", async (_call, id) => { throw fail("PermissionDenied", id); });
         // @ts-expect-error there is no such hook
         context.tap("beforeNothing", async () => {});
       },
     };
     export const quota = (driver: StorageDriver): boolean => supports(driver, "quota");
     export { SnapshotStore, suite };`,
  );
  const strict = ["--noEmit", "--strict", "--target", "es2024", "--module", "nodenext", "--skipLibCheck", "typed.ts"];
  ok(folder, join(home, "node_modules/.bin/tsc"), strict);
});
