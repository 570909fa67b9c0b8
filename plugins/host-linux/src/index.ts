/** The service `host`: native code for all drivers. Only this package loads the addon. */
import { noSettings, type Plugin } from "@tsbox/kernel";
import { loadBinding } from "./binding.ts";
import { closeRoots, createToolkit, type OpenRoots } from "./toolkit.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    const roots: OpenRoots = new Map();
    context.provideService("host", {
      open: async () => createToolkit(loadBinding(), roots, () => context.service("launcher")),
      close: async (call) => closeRoots(loadBinding(), roots, call),
    });
  },
};
export default plugin;
