/** The log driver `syslog`. What it needs is loaded by its first user. */
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    let end: () => void = () => {};
    context.provideDriver("log", "syslog", {
      open: async () => {
        const { SyslogDriver } = await import("./driver.ts");
        const driver = new SyslogDriver(await context.service("host"));
        end = () => driver.end();
        return driver;
      },
      close: async () => end(),
    });
  },
};
export default plugin;
