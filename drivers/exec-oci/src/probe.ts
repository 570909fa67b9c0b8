/** Whether this host has the runtime, and what it says about itself. */
import { type Call, type HostToolkit, isTsboxError, type Probe } from "@tsbox/kernel";
import { environment } from "./internal/command-line.ts";

export interface Version {
  /** The runtime's own name: `runc`, `crun`, `runsc`. */
  readonly name: string;
  /** The newest version of the runtime spec that it knows. */
  readonly spec: string;
}

export async function probe(call: Call, host: Pick<HostToolkit, "run" | "cgroups">, path: string): Promise<Probe> {
  if (process.geteuid?.() !== 0) return { usable: false, reason: "containers of other runtimes need root", hint: "run the engine as root" };
  try {
    const { name } = await versionOf(call, host, path);
    if (name === "crun" && host.cgroups.layout !== "v2")
      return {
        usable: false,
        reason: `crun needs cgroup v2 alone, and this host has ${host.cgroups.layout}`,
        hint: "boot with systemd.unified_cgroup_hierarchy=1",
      };
    return { usable: true };
  } catch (error) {
    if (!isTsboxError(error)) throw error;
    return { usable: false, reason: error.message, hint: `install ${path}, or name its "path" in the driver's config` };
  }
}

/** `runc version 1.1.5\nspec: 1.0.2-dev`. */
export async function versionOf(call: Call, host: Pick<HostToolkit, "run">, path: string): Promise<Version> {
  const { stdout } = await host.run(call, { argv: [path, "--version"], environment: environment(), workingDirectory: "/" });
  const text = Buffer.from(stdout).toString();
  return {
    name: /^(\S+) version/m.exec(text)?.[1] ?? path.slice(path.lastIndexOf("/") + 1),
    spec: /^\s*spec: *v?(\d+\.\d+\.\d+)/m.exec(text)?.[1] ?? "1.0.0",
  };
}
