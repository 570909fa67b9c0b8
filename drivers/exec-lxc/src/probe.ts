/** Whether this host has LXC, of a version that can do what the driver asks of it. */
import { type Call, type HostToolkit, isTsboxError, type Probe } from "@tsbox/kernel";
import { environment } from "./internal/place.ts";

/** The first version with `lxc.init.groups` and `lxc.time.offset`. */
const oldest = 5;

export async function probe(call: Call, host: Pick<HostToolkit, "run">): Promise<Probe> {
  if (process.geteuid?.() !== 0) return { usable: false, reason: "containers of exec-lxc need root", hint: "run the engine as root" };
  const hint = "install the package lxc (Debian: apt-get install lxc)";
  try {
    const { stdout } = await host.run(call, { argv: ["lxc-start", "--version"], environment, workingDirectory: "/" });
    const version = Buffer.from(stdout).toString().trim();
    if (Number.parseInt(version, 10) >= oldest) return { usable: true };
    return { usable: false, reason: `this host has LXC ${version || "of an unknown version"}, and the driver needs ${oldest}.0`, hint };
  } catch (error) {
    if (!isTsboxError(error)) throw error;
    return { usable: false, reason: error.message, hint };
  }
}
