/** The process of an exec. As in Docker it is the container's own process, changed by the exec's options. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Call,
  type ContainerConfig,
  type ExecConfig,
  fail,
  type HostToolkit,
  type IdMaps,
  type Launch,
  type OciProcess,
  type OciSpec,
} from "@tsbox/kernel";
import { mappings, type ResolvedUser } from "./build.ts";
import { defaultMounts, defaultPath, hostCapabilities, maskedPaths, ociVersion, readonlyPaths } from "./defaults.ts";

/** The part of a started container's spec that its execs need. It is stored beside the record on tmpfs; only the start uses the rest. */
export interface ExecTemplate {
  readonly process: OciProcess;
  /** The file of the compiled seccomp filter. */
  readonly filter: string | null;
  readonly cgroup: string | null;
  /** The file in which the format's commands report. Null: there are none. */
  readonly report: string | null;
}

const file = "exec.json";
const filterAnnotation = "io.tsbox.seccomp-filter";

/** `spec`: what the driver was asked for. Its own launch may carry another one, with the seccomp profile compiled. */
export async function keepTemplate(call: Call, host: HostToolkit, directory: string, spec: OciSpec, launch: Launch): Promise<void> {
  const { process, annotations, linux } = launch.kind === "oci" ? launch.spec : spec;
  const compiled = annotations?.[filterAnnotation] ?? null;
  const filter = compiled ?? (linux?.seccomp ? await compile(call, host, directory, linux.seccomp) : null);
  const report = launch.kind === "command" ? launch.report : null;
  const template: ExecTemplate = { process, filter, cgroup: linux?.cgroupsPath ?? null, report };
  writeFileSync(join(directory, file), JSON.stringify(template), { mode: 0o600 });
}

/** Compiles a seccomp profile that the driver has not compiled. */
async function compile(call: Call, host: HostToolkit, directory: string, profile: unknown): Promise<string> {
  const path = join(directory, "seccomp-filter");
  writeFileSync(path, await host.compileSeccomp(call, JSON.stringify(profile)), { mode: 0o600 });
  return path;
}

export function readTemplate(directory: string): ExecTemplate {
  try {
    return JSON.parse(readFileSync(join(directory, file), "utf8")) as ExecTemplate;
  } catch (error) {
    throw fail("Unsupported", "nothing is known of how this container was started: restart it, then exec again", { cause: error });
  }
}

/** `user`: the requested user; null: the user of the container's first process. */
export function execProcess(template: OciProcess, container: ContainerConfig, exec: ExecConfig, user: ResolvedUser | null): OciProcess {
  return {
    ...template,
    args: exec.argv,
    cwd: exec.workingDirectory || container.workingDirectory || "/",
    env: environment(template.env ?? [], container.env, exec),
    terminal: exec.terminal,
    ...(user === null ? {} : { user: { ...userOf(template), uid: user.uid, gid: user.gid, additionalGids: user.additionalGids } }),
    capabilities: capabilities(template, user, exec.privileged),
    ...(exec.privileged ? { apparmorProfile: "" } : {}),
  };
}

/**
 * The spec of a process that has its own root instead of the container's, in the same namespaces and limits. Processes of the container
 * don't see its mounts. `pid`: the container's first process.
 */
export function besideSpec(
  template: ExecTemplate,
  container: ContainerConfig,
  exec: ExecConfig,
  user: ResolvedUser,
  pid: number,
  idMaps: IdMaps | null,
): OciSpec {
  const process = execProcess(template.process, { ...container, workingDirectory: "/", env: [] }, exec, user);
  const held = process.capabilities as { readonly bounding?: readonly string[] };
  // A debugging process must be allowed to trace the container's processes to see their files.
  const bounding = [...new Set([...(held.bounding ?? []), "CAP_SYS_PTRACE"])];
  const root = user.uid === 0 ? bounding : [];
  const environment = exec.env.filter((pair) => pair.includes("="));
  const has = (name: string): boolean => environment.some((pair) => pair.startsWith(`${name}=`));
  const kinds = ["network", "uts", "pid", "ipc", "cgroup", ...(container.isolation.time === null ? [] : ["time"])];
  const files: Readonly<Record<string, string>> = { network: "net" };
  return {
    ociVersion,
    process: {
      ...process,
      env: [
        ...(has("PATH") ? [] : [`PATH=${defaultPath}`]),
        ...(exec.terminal && !has("TERM") ? ["TERM=xterm"] : []),
        ...environment,
        ...(has("HOME") ? [] : [`HOME=${user.home}`]),
      ],
      noNewPrivileges: false,
      capabilities: { bounding, effective: root, permitted: root },
    },
    root: { path: "rootfs", readonly: false },
    mounts: defaultMounts(container.shmSize, false),
    linux: {
      namespaces: [
        { type: "mount" },
        ...(idMaps === null ? [] : [{ type: "user", path: `/proc/${pid}/ns/user` }]),
        ...kinds.map((type) => ({ type, path: `/proc/${pid}/ns/${files[type] ?? type}` })),
      ],
      ...(idMaps === null ? {} : { uidMappings: mappings(idMaps.uids), gidMappings: mappings(idMaps.gids) }),
      cgroupsPath: template.cgroup ?? "",
      ...(exec.privileged ? {} : { maskedPaths, readonlyPaths }),
    },
  };
}

const userOf = (process: OciProcess): Record<string, unknown> => (process.user ?? {}) as Record<string, unknown>;

/**
 * HOME depends on the user, and the runtime looks it up; TERM is only for terminals. If the container's own configuration sets them, they
 * stay.
 */
function environment(started: readonly string[], configured: readonly string[], exec: ExecConfig): readonly string[] {
  const has = (list: readonly string[], name: string): boolean => list.some((pair) => pair.startsWith(`${name}=`));
  const kept = started.filter((pair) => !["HOME", "TERM"].some((name) => pair.startsWith(`${name}=`) && !has(configured, name)));
  const asked = new Set(exec.env.map((pair) => pair.split("=", 1)[0]));
  return [
    ...(exec.terminal && !has(kept, "TERM") && !asked.has("TERM") ? ["TERM=xterm"] : []),
    ...kept.filter((pair) => !asked.has(pair.split("=", 1)[0])),
    // An empty HOME counts as unset: the runtime looks it up.
    ...exec.env.filter((pair) => pair.includes("=") && pair !== "HOME="),
  ];
}

/** Root gets the container's bounding set. Processes of other users get capabilities only through file capabilities. */
function capabilities(template: OciProcess, user: ResolvedUser | null, privileged: boolean): unknown {
  const own = (template.capabilities ?? {}) as { readonly bounding?: readonly string[] };
  if (user === null && !privileged) return template.capabilities;
  const bounding = privileged ? hostCapabilities() : (own.bounding ?? []);
  const root = (user?.uid ?? userOf(template).uid ?? 0) === 0;
  return { ...own, bounding, effective: root ? bounding : [], permitted: root ? bounding : [] };
}
