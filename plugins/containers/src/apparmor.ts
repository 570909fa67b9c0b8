/**
 * The AppArmor profile of containers that ask for none, on hosts where AppArmor is on: one more wall behind masks and read-only mounts,
 * which stands when a capability or an option has taken those away. It is loaded once, by the host's own apparmor_parser, and stays loaded
 * when the engine ends: containers run on under it. Source of what Docker's denies: moby/profiles, `apparmor/template.go`.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Call, fail, type HostToolkit } from "@tsbox/kernel";

export const defaultProfile = "tsbox-default";

const parser = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];

/**
 * Everything is allowed that is not denied. AppArmor knows no "all but": so a name that begins with what is allowed is left out letter by
 * letter.
 */
export function profileText(name: string): string {
  const denied = [
    // Plain files of /proc, and what lies in its folders but those of processes (digits) and sys.
    "/proc/* w",
    "/proc/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w",
    // Of sys only kernel/shm*: the container's own ipc namespace. What is written for net and other namespaces is written before the
    // profile holds.
    "/proc/sys/[^k]** w",
    "/proc/sys/kernel/{?,??,[^s][^h][^m]**} w",
    "/proc/sysrq-trigger rwklx",
    "/proc/kcore rwklx",
    // Of /sys only fs/cgroup.
    "/sys/[^f]*/** wklx",
    "/sys/f[^s]*/** wklx",
    "/sys/fs/[^c]*/** wklx",
    "/sys/fs/c[^g]*/** wklx",
    "/sys/fs/cg[^r]*/** wklx",
    "/sys/firmware/** rwklx",
    "/sys/devices/virtual/powercap/** rwklx",
    "/sys/kernel/security/** rwklx",
  ];
  return [
    `profile ${name} flags=(attach_disconnected,mediate_deleted) {`,
    "  network,",
    "  capability,",
    "  file,",
    "  umount,",
    "  deny mount,",
    // The engine signals; processes of containers signal and trace one another as far as their namespaces let them.
    "  signal (receive) peer=unconfined,",
    `  signal (send,receive) peer=${name},`,
    `  ptrace (trace,read,tracedby,readby) peer=${name},`,
    ...denied.map((rule) => `  deny ${rule},`),
    "}",
    "",
  ].join("\n");
}

/** Whether AppArmor is on, and can be given profiles. */
export function hasAppArmor(): boolean {
  try {
    return readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y") && parser.some((path) => existsSync(path));
  } catch {
    // A kernel without it has no such file.
    return false;
  }
}

export class AppArmor {
  /** A kernel has it from its boot on, or never. */
  readonly #on: boolean = hasAppArmor();
  readonly #host: HostToolkit;
  readonly #directory: string;
  #loading: Promise<void> | undefined;

  /** `directory`: the engine's own, for the profile's text. */
  constructor(host: HostToolkit, directory: string) {
    this.#host = host;
    this.#directory = directory;
  }

  /** The name of the default profile, loaded; null where AppArmor is not on. */
  async profile(call: Call): Promise<string | null> {
    if (!this.#on) return null;
    this.#loading ??= this.#load(call);
    await this.#loading.catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return defaultProfile;
  }

  async #load(call: Call): Promise<void> {
    mkdirSync(this.#directory, { recursive: true });
    const path = join(this.#directory, "apparmor-profile");
    writeFileSync(path, profileText(defaultProfile), { mode: 0o600 });
    const { exitCode, stderr } = await this.#host.run(call, {
      argv: [parser.find((file) => existsSync(file)) ?? "apparmor_parser", "--replace", "--skip-cache", path],
      environment: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      workingDirectory: "/",
    });
    if (exitCode !== 0)
      throw fail(
        "FailedPrecondition",
        `AppArmor is on, and takes no profile for containers: ${Buffer.from(stderr).toString().trim()}; mend apparmor_parser, or start the container with --security-opt apparmor=unconfined`,
      );
  }
}
