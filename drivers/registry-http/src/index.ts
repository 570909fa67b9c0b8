/** The transport `docker`: registries over HTTP. */
import { fail, type Plugin, type PluginContext, type RegistryDriver, settingsOf } from "@tsbox/kernel";
import { registryDriver } from "./driver.ts";
import { Connections } from "./internal/connections.ts";

interface Config {
  /** A directory that holds one directory of certificates for each registry, named `HOST:PORT`. Default: `"/etc/docker/certs.d"`. */
  readonly certificates: string;
}

const plugin: Plugin<Config> = {
  parseConfig: (raw) => {
    const { certificates = "/etc/docker/certs.d" } = settingsOf(raw, ["certificates"]);
    if (typeof certificates !== "string" || !certificates.startsWith("/"))
      throw fail("InvalidArgument", "certificates: must be the absolute path of a directory such as /etc/docker/certs.d");
    return { certificates };
  },
  setup(context: PluginContext<Config>): void {
    const opened = new WeakMap<RegistryDriver, Connections>();
    context.provideDriver("registry", "docker", {
      open: async () => {
        const connections = new Connections();
        const driver = registryDriver(connections, context.config.certificates);
        opened.set(driver, connections);
        return driver;
      },
      close: async (_call, driver) => opened.get(driver)?.close(),
    });
  },
};
export default plugin;
