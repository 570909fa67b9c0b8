/**
 * The default AppArmor profile of containers, on hosts where AppArmor is on. It adds to masked paths and read-only mounts, and still holds
 * where a capability or an option has removed those. The host's apparmor_parser loads it once. It stays loaded after the engine ends,
 * because containers run on under it. The denied paths are Docker's: moby/profiles, `apparmor/template.go`.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Call, fail, type HostToolkit } from "@tsbox/kernel";

export const defaultProfile = "tsbox-default";

const parser = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];

/**
 * Allows everything except the denied paths. AppArmor's globs have no "all but", so the denied patterns spell out, letter by letter, every
 * name that differs from an allowed one.
 */
export function profileText(name: string): string {
  const denied = [
    // Plain files of /proc, and its directories except those of processes (digits) and sys.
    "/proc/* w",
    "/proc/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w",
    // Below /proc/sys only kernel/shm* is writable: it belongs to the container's own ipc namespace. The runtime writes sysctls of net and
    // other namespaces before the profile takes effect.
    "/proc/sys/[^k]** w",
    "/proc/sys/kernel/{?,??,[^s][^h][^m]**} w",
    "/proc/sysrq-trigger rwklx",
    "/proc/kcore rwklx",
    // Below /sys only fs/cgroup is writable.
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
    // The engine sends signals. Processes of containers signal and trace one another as far as their namespaces allow.
    "  signal (receive) peer=unconfined,",
    `  signal (send,receive) peer=${name},`,
    `  ptrace (trace,read,tracedby,readby) peer=${name},`,
    ...denied.map((rule) => `  deny ${rule},`),
    "}",
    "",
  ].join("\n");
}

/** Whether AppArmor is on and its parser is installed. */
export function hasAppArmor(): boolean {
  try {
    return readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y") && parser.some((path) => existsSync(path));
  } catch {
    // A kernel without AppArmor has no such file.
    return false;
  }
}

export class AppArmor {
  /** Read once: AppArmor is switched on at boot or not at all. */
  readonly #on: boolean = hasAppArmor();
  readonly #host: HostToolkit;
  readonly #directory: string;
  #loading: Promise<void> | undefined;

  /** `directory`: a directory of the engine, for the profile's text. */
  constructor(host: HostToolkit, directory: string) {
    this.#host = host;
    this.#directory = directory;
  }

  /** Loads the default profile and returns its name; null where AppArmor is not on. */
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
