/** The log driver `syslog`. */
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { SyslogDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    context.provideDriver("log", "syslog", {
      open: async () => new SyslogDriver(await context.service("host")),
      close: async (_call, driver) => {
        if (driver instanceof SyslogDriver) driver.end();
      },
    });
  },
};
export default plugin;
