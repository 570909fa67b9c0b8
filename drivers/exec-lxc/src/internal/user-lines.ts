/**
 * Lines that a user adds to a container's configuration (`--lxc-conf`), as Docker took them up to 1.9. Only what limits or describes the
 * container is taken: a line that names the engine's own files and namespaces would break the container, and most others would lead out of
 * it.
 */
import { type FormatOption, fail } from "@tsbox/kernel";

/** A key of LXC, or its beginning with a dot at the end. */
type Key = string;

/** What an ordinary user may set. */
const free: readonly Key[] = ["lxc.cgroup.", "lxc.cgroup2.", "lxc.prlimit.", "lxc.signal.reboot", "lxc.signal.stop"];
/** What a privileged container may have besides: it is not kept in. */
const privilegedOnly: readonly Key[] = ["lxc.cgroup.devices.", "lxc.cgroup2.devices.", "lxc.keyring.session", "lxc.mount.entry"];
/** What the engine sets itself, and the flag that changes it. */
const flags: readonly (readonly [Key, string])[] = [
  ["lxc.uts.name", "--hostname"],
  ["lxc.utsname", "--hostname"],
  ["lxc.cap.", "--cap-add and --cap-drop"],
  ["lxc.net.", "--net"],
  ["lxc.network.", "--net"],
  ["lxc.sysctl.", "--sysctl"],
  ["lxc.environment", "-e"],
  ["lxc.proc.oom_score_adj", "--oom-score-adj"],
  ["lxc.apparmor.", "--security-opt apparmor"],
  ["lxc.aa_profile", "--security-opt apparmor"],
  ["lxc.seccomp.", "--security-opt seccomp"],
  ["lxc.selinux.", "--security-opt label"],
  ["lxc.no_new_privs", "--security-opt no-new-privileges"],
  ["lxc.idmap", "--userns"],
  ["lxc.id_map", "--userns"],
  ["lxc.init.", "--user and --workdir"],
  ["lxc.mount.auto", "--privileged and -v"],
  ["lxc.mount", "-v"],
  ["lxc.namespace.", "--pid, --ipc, --uts, --net and --cgroupns"],
  ["lxc.time.", "--time-offset"],
  ["lxc.rootfs.", "--storage and --read-only"],
];
/** A user's lines are bounded as everything else that comes from outside. */
const longest = 4_096;
const most = 100;

const isKey = (name: string, key: Key): boolean => (key.endsWith(".") ? name.startsWith(key) : name === key);
const among = (name: string, keys: readonly Key[]): boolean => keys.some((key) => isKey(name, key));

/** `InvalidArgument` names the first option that is not taken, and why. */
export function checkUserLines(
  options: readonly FormatOption[],
  { privileged, layout }: { readonly privileged: boolean; readonly layout: "v1" | "hybrid" | "v2" },
): void {
  if (options.length > most)
    throw fail("InvalidArgument", `${options.length} options of LXC's configuration are too many: ${most} at most`);
  for (const { key, value } of options) {
    const wrong = whyNot(key, value, privileged, layout);
    if (wrong !== null) throw fail("InvalidArgument", `--lxc-conf ${JSON.stringify(key.slice(0, 100))}: ${wrong}`);
  }
}

function whyNot(key: string, value: string, privileged: boolean, layout: string): string | null {
  if (!/^lxc(\.[a-zA-Z0-9_-]+)+$/.test(key) || key.length > 200) return "this is no key of LXC's configuration: give lxc.NAME=VALUE";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a line break would begin another line.
  if (value === "" || value.length > longest || /[\u0000-\u001f]/.test(value))
    return `its value is empty, has control characters, or more than ${longest} bytes`;
  if (/^lxc\.cgroup2?\.dir(\.|$)|^lxc\.cgroup\.relative$/.test(key)) return "the engine sets where its cgroups are; use --cgroup-parent";
  if (key.startsWith("lxc.cgroup.") && layout === "v2") return "this host has no cgroups of version 1: give lxc.cgroup2";
  if (key.startsWith("lxc.cgroup2.") && layout !== "v2") return "this host has cgroups of version 1: give lxc.cgroup";
  if (among(key, privilegedOnly)) return privileged ? null : "it leads out of the container: only --privileged may have it";
  if (among(key, free)) return null;
  const flag = flags.find(([known]) => isKey(key, known))?.[1];
  if (flag !== undefined) return `the engine sets it itself: use ${flag}`;
  const taken = [...free, ...privilegedOnly].map((known) => (known.endsWith(".") ? `${known}*` : known));
  return `the engine does not pass it on; there are ${taken.join(", ")}`;
}

/** After the engine's own lines: of two limits LXC takes the later one. */
export const userLines = (options: readonly FormatOption[]): readonly string[] => options.map(({ key, value }) => `${key} = ${value}`);
