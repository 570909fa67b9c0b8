/** The container's first process. */
import type { OciSpec } from "@tsbox/kernel";
import { unsupported } from "./words.ts";

interface User {
  readonly uid?: number;
  readonly gid?: number;
  readonly additionalGids?: readonly number[];
  readonly umask?: number | null;
}
interface Capabilities {
  readonly bounding?: readonly string[];
  readonly effective?: readonly string[];
  readonly inheritable?: readonly string[];
  readonly ambient?: readonly string[];
}

export function processLines({ process }: OciSpec): readonly string[] {
  const user = (process.user ?? {}) as User;
  const { uid = 0, gid = 0, additionalGids = [], umask } = user;
  const rlimits = (process.rlimits ?? []) as readonly { readonly type: string; readonly soft: number; readonly hard: number }[];
  const apparmor = typeof process.apparmorProfile === "string" && process.apparmorProfile !== "" ? process.apparmorProfile : "unconfined";
  const environment = process.env ?? [];
  for (const field of ["ioPriority", "scheduler", "execCPUAffinity"])
    if (process[field] !== undefined && process[field] !== null) throw unsupported(`process.${field}`);
  return [
    `lxc.init.uid = ${uid}`,
    `lxc.init.gid = ${gid}`,
    ...(additionalGids.length === 0 ? [] : [`lxc.init.groups = ${additionalGids.join(",")}`]),
    `lxc.init.cwd = ${process.cwd}`,
    ...capabilityLines(process.capabilities, uid),
    ...(process.noNewPrivileges === true ? ["lxc.no_new_privs = 1"] : []),
    ...rlimits.map(({ type, soft, hard }) => `lxc.prlimit.${type.replace(/^RLIMIT_/, "").toLowerCase()} = ${limit(soft)}:${limit(hard)}`),
    ...(typeof process.oomScoreAdj === "number" ? [`lxc.proc.oom_score_adj = ${process.oomScoreAdj}`] : []),
    `lxc.apparmor.profile = ${apparmor}`,
    ...(typeof process.selinuxLabel === "string" && process.selinuxLabel !== "" ? [`lxc.selinux.context = ${process.selinuxLabel}`] : []),
    ...environment.map((pair, at) => `lxc.environment = TSBOX_ENTER_${at}=${Buffer.from(pair).toString("hex")}`),
    ...(process.terminal === true ? ["lxc.environment = TSBOX_ENTER_TERMINAL=1"] : []),
    ...(typeof umask === "number" ? [`lxc.environment = TSBOX_ENTER_UMASK=${umask.toString(8)}`] : []),
  ];
}

/** LXC sets the bounding set; root's other sets follow from it, and another user's are empty. */
function capabilityLines(raw: unknown, uid: number): readonly string[] {
  const { bounding = [], effective = bounding, inheritable = [], ambient = [] } = (raw ?? {}) as Capabilities;
  if (inheritable.length > 0) throw unsupported("process.capabilities.inheritable");
  if (ambient.length > 0) throw unsupported("process.capabilities.ambient");
  // An ordinary user has none after the change of the user, whatever the spec says.
  if (uid === 0 && (effective.length !== bounding.length || effective.some((name) => !bounding.includes(name))))
    throw unsupported("process.capabilities.effective that differ from the bounding set of root");
  const names = bounding.map((name) => name.replace(/^CAP_/, "").toLowerCase());
  return [`lxc.cap.keep = ${names.length === 0 ? "none" : names.join(" ")}`];
}

/** The spec writes the largest number for "no limit". */
const limit = (value: number): string => (value < 0 || value >= Number.MAX_SAFE_INTEGER ? "unlimited" : String(value));
