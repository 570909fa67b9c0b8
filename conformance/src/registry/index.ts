/** The registry suite: a driver that passes it brings images, byte for byte, from any byte on. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createCall, type HostToolkit, type RegistryDriver, silentLog } from "@tsbox/kernel";
import { type Kind, openTarget, type Target } from "../target.ts";
import { registryRules } from "./rules.ts";
import type { RegistryWorld } from "./world.ts";

export { registryRules };

export const registryKind: Kind<RegistryWorld> = { rules: registryRules, whyNot: () => null, world };

async function world(target: Target, host: HostToolkit, directory: string): Promise<RegistryWorld> {
  const base = mkdtempSync(join(directory, "conformance-"));
  mkdirSync(join(base, "source"));
  const source = (await target.registrySource?.(target.id, join(base, "source"))) ?? null;
  const open = (): ReturnType<typeof openTarget<"registry">> =>
    openTarget("registry", { ...target, config: source?.config ?? target.config }, host, base);
  const opened = [await open()];
  const current = (): RegistryDriver => {
    const last = opened.at(-1);
    if (last === undefined) throw new Error("no driver is open");
    return last.value;
  };
  return {
    get driver() {
      return current();
    },
    get powers() {
      return current().powers;
    },
    call: createCall(silentLog),
    source,
    crash: async () => void opened.push(await open()),
    close: async () => {
      for (const each of opened.reverse()) await each.close();
      await source?.close();
      rmSync(base, { recursive: true, force: true });
    },
  };
}
