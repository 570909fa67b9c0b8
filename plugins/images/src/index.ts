/** The service `images`. */
import type { Plugin, PluginContext } from "@tsbox/kernel";
import { ImageRecords } from "./records.ts";
import { imagesService } from "./service.ts";

const plugin: Plugin<null> = {
  parseConfig: () => null,
  setup(context: PluginContext<null>): void {
    const hooks = { beforePull: context.provideHook("beforePull", "veto"), resolveImage: context.provideHook("resolveImage", "answer") };
    context.provideService("images", {
      open: async (call) => {
        const records = new ImageRecords(await context.service("state"));
        await records.load(call);
        return imagesService({
          records,
          content: await context.service("content"),
          events: await context.service("events"),
          host: await context.service("host"),
          hooks,
          storage: (id) => context.driver("storage", id),
          registry: (scheme) => context.driver("registry", scheme),
          preferredStorage: async () => (await context.drivers("storage"))[0]?.id ?? "",
        });
      },
    });
  },
};
export default plugin;
