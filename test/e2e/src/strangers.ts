/** Plugins of strangers, for tests of what an operator's list of plugins does. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { home } from "./engine.ts";

/**
 * A stranger's plugin: one of our drivers under the id `other`, of which there may be more than one network. Answers the path of its
 * package.
 */
export function strangersDriver(directory: string, kind: string, ours: string, version: string): string {
  const path = join(directory, `${kind}-other`);
  mkdirSync(path);
  const tsbox = { kernel: "^1.0", provides: { [`${kind}/other`]: version }, needs: { host: "^1.0" } };
  writeFileSync(
    join(path, "package.json"),
    JSON.stringify({ name: `${kind}-other`, version: "1.0.0", type: "module", exports: "./index.js", tsbox }),
  );
  const source = `
    import plugin from ${JSON.stringify(join(home, "drivers", ours, "src/index.ts"))};
    export default {
      parseConfig: (raw) => raw,
      setup: (context) => plugin.setup(Object.create(context, {
        provideDriver: {
          value: (kind, id, provider) => context.provideDriver(kind, "other", {
            ...provider,
            open: async (call) => {
              const driver = await provider.open(call);
              driver.powers = driver.powers.filter((power) => power !== "single");
              return driver;
            },
          }),
        },
      })),
    };`;
  writeFileSync(join(path, "index.js"), source);
  return path;
}
