import type { Plugin } from "@tsbox/kernel";
import { CniDriver } from "./driver.ts";
import { probe } from "./probe.ts";
import { parseSettings } from "./settings.ts";

interface Config {
  /** The directories of CNI plugins, in the order of the search. Default: `["/opt/cni/bin","/usr/lib/cni"]`. */
  readonly plugins: readonly string[];
  /** The directory of the configurations that networks name. Default: `"/etc/cni/net.d"`. */
  readonly configurations: string;
  /** Seconds that one CNI plugin may take. Default: `60`. */
  readonly timeout: number;
}

const plugin: Plugin<Config> = {
  parseConfig: parseSettings,
  setup(context) {
    context.provideDriver("network", "cni", {
      probe: async () => probe(context.config),
      open: async (call) => {
        const driver = new CniDriver(await context.service("host"), context.config, context.stateDirectory);
        await driver.open(call);
        return driver;
      },
      close: async (call, driver) => {
        if (driver instanceof CniDriver) await driver.close(call);
      },
    });
  },
};
export default plugin;
