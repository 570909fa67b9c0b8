import { noSettings, type Plugin } from "@tsbox/kernel";
import { NativeDriver } from "./driver.ts";
import { FilterStore } from "./internal/filter-store.ts";
import { probe } from "./probe.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    context.provideDriver("exec", "native", {
      probe: async () => probe((await context.service("host")).cgroups.layout),
      open: async () => {
        const host = await context.service("host");
        return new NativeDriver(new FilterStore(host, `${context.stateDirectory}/seccomp`));
      },
    });
  },
};
export default plugin;
