/**
 * A host with plugins that the test writes: each is a separate package in a temporary directory, with a manifest and a few lines of
 * JavaScript.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, temporaryDirectory } from "@tsbox/harness";
import { type EngineConfig, emptyConfig, type Host, type HostOptions, startHost } from "../src/host/index.ts";
import type { Logger } from "../src/index.ts";

export interface TestPlugin {
  readonly name: string;
  readonly manifest: object;
  /** The body of `setup(context)`. */
  readonly setup?: string;
  /** The whole module, instead of `setup`. */
  readonly source?: string;
  readonly config?: unknown;
}

export interface World {
  readonly directory: string;
  /** The texts that plugins traced, in order (`trace("…")` in their code), and warnings of the host. */
  readonly trace: string[];
  start(config?: Partial<EngineConfig>, grace?: number, limits?: HostOptions["limits"]): Promise<Host>;
}

export function world(test: Case, plugins: readonly TestPlugin[]): World {
  const directory = temporaryDirectory(test);
  const trace: string[] = [];
  const id = directory.replaceAll(/\W/g, "");
  Reflect.set(globalThis, id, (word: string) => trace.push(word));
  test.cleanup(() => Reflect.deleteProperty(globalThis, id));
  const log: Logger = { debug() {}, info() {}, warn: (text) => trace.push(`warn: ${text}`), error: (text) => trace.push(`error: ${text}`) };
  for (const plugin of plugins) {
    const home = join(directory, "node_modules", plugin.name);
    mkdirSync(home, { recursive: true });
    writeFileSync(
      join(home, "package.json"),
      JSON.stringify({ name: plugin.name, version: "1.2.3", type: "module", exports: "./index.js", tsbox: plugin.manifest }),
    );
    writeFileSync(
      join(home, "index.js"),
      `const trace = globalThis.${id};\n${plugin.source ?? `export default { parseConfig: (raw) => raw, setup(context) { ${plugin.setup ?? ""} } };`}`,
    );
  }
  const engineList = join(directory, "engine.json");
  writeFileSync(
    engineList,
    JSON.stringify({ plugins: plugins.map(({ name, config }) => (config === undefined ? name : { package: name, config })) }),
  );
  return {
    directory,
    trace,
    start: async (config = {}, grace = 50, limits = {}) => {
      const host = await startHost({
        engineList,
        config: { ...emptyConfig, ...config },
        rootDirectory: join(directory, "root"),
        stateDirectory: join(directory, "state"),
        engineId: "t1",
        log,
        limits: { grace, ...limits },
      });
      test.cleanup(() => host.stop().catch(() => undefined));
      return host;
    },
  };
}
