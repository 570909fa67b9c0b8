/**
 * Starts an engine. The way from the list of plugins to an open driver has three steps, with a file each:
 *
 * - `load.ts`: the lists become entries (`plugin-list.ts`), and these become manifests (`manifest.ts`), which must fit this kernel and each
 *   other (`negotiate.ts`). Then each plugin's code is loaded, and is one handle from here on (`handle.ts`).
 * - `wire.ts`: the handles are set up; their services and drivers (`offer.ts`) are opened, each behind its guard (`guard.ts`).
 * - `run.ts`: the engine itself: its hooks, the choice of drivers (`choice.ts`), its end.
 *
 * An error on the way gets its plugin's name, and everything that is open is closed in reverse order.
 */
import { join } from "node:path";
import { withCleanup } from "../cleanup.ts";
import { Choices } from "./choice.ts";
import { pluginLimits } from "./guard.ts";
import type { Host, HostOptions } from "./host.ts";
import { load } from "./load.ts";
import { RunningHost } from "./run.ts";

export async function startHost(options: HostOptions): Promise<Host> {
  const limits = { ...pluginLimits, ...options.limits };
  const [loaded, choices] = await Promise.all([
    load(options, limits),
    Choices.read(join(options.rootDirectory, "drivers.json"), options.config.drivers),
  ]);
  const host = new RunningHost(options, { ...loaded, choices, limits });
  await withCleanup(async (cleanup) => {
    cleanup.undo(() => host.close());
    await host.start();
  });
  return host;
}
