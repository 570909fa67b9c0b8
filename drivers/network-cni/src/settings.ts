/** The plugin's config, checked. index.ts documents its keys. */
import { fail, settingsOf } from "@tsbox/kernel";

export interface Settings {
  readonly plugins: readonly string[];
  readonly configurations: string;
  readonly timeout: number;
}

/** CNI's own place, and Debian's. */
const places = ["/opt/cni/bin", "/usr/lib/cni"];

export function parseSettings(raw: unknown): Settings {
  const { plugins = places, configurations = "/etc/cni/net.d", timeout = 60 } = settingsOf(raw, ["plugins", "configurations", "timeout"]);
  const isPath = (value: unknown): value is string => typeof value === "string" && value.startsWith("/") && !value.includes(":");
  if (!Array.isArray(plugins) || plugins.length === 0 || !plugins.every(isPath))
    throw fail("InvalidArgument", "network-cni: plugins is a list of absolute paths of directories, without colons");
  if (!isPath(configurations)) throw fail("InvalidArgument", "network-cni: configurations is the absolute path of a directory");
  if (typeof timeout !== "number" || !(timeout >= 1 && timeout <= 110))
    throw fail("InvalidArgument", "network-cni: timeout is a number of seconds from 1 to 110");
  return { plugins, configurations, timeout };
}
