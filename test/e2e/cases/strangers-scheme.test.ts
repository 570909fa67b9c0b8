/** Images of a registry driver that is not ours: its scheme reaches it, without a change of the engine. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, engine, home } from "../src/engine.ts";

const test = suite("a stranger's scheme", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

/** A registry of files `shelf:NAME`, each an archive; it writes down what it is asked for. */
function shelf(directory: string): { readonly path: string; readonly asked: () => readonly string[] } {
  const [path, log] = [join(directory, "registry-shelf"), join(directory, "asked")];
  mkdirSync(path);
  writeFileSync(log, "");
  const tsbox = { kernel: "^1.0", provides: { "registry/shelf": "1.0.0" } };
  writeFileSync(
    join(path, "package.json"),
    JSON.stringify({ name: "tsbox-registry-shelf", version: "1.0.0", type: "module", exports: "./index.js", tsbox }),
  );
  const source = `
    import { appendFileSync } from "node:fs";
    import archives from ${JSON.stringify(join(home, "drivers/registry-archive/src/index.ts"))};
    const file = (ref) => ${JSON.stringify(directory)} + "/" + ref + ".tar";
    const shelf = (inner) => ({
      powers: [],
      resolve: (call, ref, access) => {
        appendFileSync(${JSON.stringify(log)}, ref + " " + JSON.stringify(access.credentials) + "\\n");
        return inner.resolve(call, file(ref), access);
      },
      fetch: (call, ref, ...rest) => inner.fetch(call, file(ref), ...rest),
    });
    export default {
      parseConfig: () => null,
      setup: (context) => archives.setup(Object.create(context, {
        provideDriver: { value: (kind, id, provider) => {
          if (id !== "docker-archive") return;
          context.provideDriver(kind, "shelf", { ...provider, open: async (call) => shelf(await provider.open(call)) });
        } },
      })),
    };`;
  writeFileSync(join(path, "index.js"), source);
  return { path, asked: () => readFileSync(log, "utf8").split("\n").filter(Boolean) };
}

test.skipIf(reason, "run, pull, list and remove an image by a stranger's scheme", async (t) => {
  const directory = temporaryDirectory(t);
  const config = join(directory, "config.json");
  const { path, asked } = shelf(directory);
  const list = (plugins: readonly string[]): void =>
    writeFileSync(config, JSON.stringify({ plugins: plugins.map((name) => ({ package: name })) }));
  list([path]);
  const own = await engine(t, config);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  await own.ok(["save", "-o", join(directory, "Tools.tar"), "bb"]);
  await own.ok(["rmi", "bb"]);

  const run = ["run", "--rm", "--net", "none", "shelf:Tools", "echo", "hello"];
  assert.is(await own.ok(run), "hello\n");
  assert.is(await own.ok(run), "hello\n");
  assert.equal(asked(), ["Tools null"]);
  await own.ok(["pull", "shelf:Tools"]);
  assert.is(asked().length, 2);
  assert.match(await own.ok(["image", "inspect", "--format", "{{.RepoTags}}", "shelf:Tools"]), /shelf:Tools/);
  const { code, stderr } = await own.run(["run", "--rm", "--net", "none", "nosuch:/Tools", "true"]);
  assert.is(code, 125);
  assert.match(stderr, /no registry driver is called nosuch; installed: .*shelf/);

  // Its image stays while its driver is away.
  await own.stop();
  list([]);
  await own.start();
  assert.is(await own.ok(run), "hello\n");
  await own.ok(["rmi", "shelf:Tools"]);
  assert.is(await own.ok(["images", "-q"]), "");
});
