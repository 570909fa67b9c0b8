/** The service `host`: what native code does for every driver. The only package that loads the addon. */
import { fail, type Plugin } from "@tsbox/kernel";
import { loadBinding } from "./binding.ts";
import { closeRoots, createToolkit, type OpenRoots } from "./toolkit.ts";

const plugin: Plugin<null> = {
  parseConfig(raw) {
    if (raw !== undefined && raw !== null && Object.keys(raw).length > 0) {
      throw fail("InvalidArgument", `host-linux takes no configuration, but has "${Object.keys(raw)[0]}"`);
    }
    return null;
  },
  setup(context) {
    const roots: OpenRoots = new Map();
    context.provideService("host", {
      open: async () => createToolkit(loadBinding(), roots, () => context.service("launcher")),
      close: async (call) => closeRoots(loadBinding(), roots, call),
    });
  },
};
export default plugin;
