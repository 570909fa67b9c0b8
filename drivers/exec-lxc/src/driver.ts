/**
 * Containers of LXC. `lxc-start` is the launch's one step, and stays as the container's monitor; the shim holds the standard streams, and
 * the host sees the processes. LXC's own programs (`lxc-ls`, `lxc-info`) show the containers below the driver's directory.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Bundle,
  type Call,
  type ContainerId,
  type ErrorCode,
  type ExecDriver,
  type ExecPowers,
  type Explains,
  type FormatOption,
  fail,
  fileTail,
  type HostToolkit,
  judgeFields,
  type Launch,
  linuxFields,
  type OciSpec,
  ownersOf,
  parseContainerId,
  type TakesOptions,
} from "@tsbox/kernel";
import { configOf, isReadOnly, monitorGroups } from "./internal/config.ts";
import { enterPath, initPath, mountedBefore, mountPoints } from "./internal/mounts.ts";
import { environment, type Place, placeOf, publicPath } from "./internal/place.ts";
import { explainLog } from "./internal/report.ts";
import { seccompPolicy } from "./internal/seccomp.ts";
import { checkUserLines } from "./internal/user-lines.ts";

/** How long the monitor may outlive its container, in milliseconds. */
const monitorTimeout = 2_000;
const lookEvery = 5;
/** How much of LXC's log is read, in bytes. */
const logMost = 256 << 10;

/** The fields of a spec, with those below them, for which LXC has no words. */
const inexpressible = ["domainname", "hooks", "linux.mountLabel"];

export class LxcDriver implements ExecDriver, Explains, TakesOptions {
  readonly powers: readonly (keyof ExecPowers)[] = ["processes", "terminal", "explain", "ended", "options"];
  readonly #host: Pick<HostToolkit, "cgroups" | "program">;
  /** LXC's path (`-P`): a link to the bundle for each container. */
  readonly #path: string;

  constructor(host: Pick<HostToolkit, "cgroups" | "program">, path: string) {
    this.#host = host;
    this.#path = path;
  }

  async plan(_call: Call, { id, directory, spec, options = [] }: Bundle): Promise<Launch> {
    judgeFields(spec, linuxFields, (field, known) => {
      if (known === undefined || inexpressible.some((name) => field === name || field.startsWith(`${name}.`)))
        throw fail("Unsupported", `LXC can't express ${field} of an OCI spec; leave it out, or use the exec driver native`);
    });
    const cgroup = spec.linux?.cgroupsPath;
    if (cgroup === undefined) throw fail("InvalidArgument", "the spec has no linux.cgroupsPath");
    const owners = ownersOf(spec);
    const place = placeOf(directory, owners !== null);
    const path = owners === null ? this.#path : publicPath;
    this.#write(id, place, spec, cgroup, options);
    if (owners !== null) enter(publicPath, id, place.directory, 0o711);
    const words = [...(spec.annotations?.["io.tsbox.init"] === undefined ? [] : [initPath]), ...spec.process.args];
    return {
      kind: "command",
      rootfs: place.root,
      steps: [
        {
          argv: ["lxc-start", "-q", "-F", "-P", path, "-n", id, "-o", place.log, "-l", "INFO", "--", enterPath, ...words],
          environment,
          workingDirectory: "/",
          stdio: true,
          held: true,
        },
      ],
      cgroup,
      ownFiles: spec.annotations?.["io.tsbox.own-files"] === "true",
      ...mountPoints(spec),
      owners,
      mounts: mountedBefore(spec),
      readOnlyRoot: isReadOnly(spec),
      pidFile: place.pidFile,
      stays: true,
      enter: true,
      consoleSocket: null,
      report: place.log,
    };
  }

  async checkOptions(_call: Call, options: readonly FormatOption[], { privileged }: { readonly privileged: boolean }): Promise<void> {
    checkUserLines(options, { privileged, layout: this.#host.cgroups.layout });
  }

  async ended(_call: Call, id: ContainerId): Promise<void> {
    const config = join(this.#path, id, "cgroup");
    if (existsSync(config)) await removeGroups(readFileSync(config, "utf8").trim());
    for (const path of [this.#path, publicPath]) rmSync(join(path, id), { force: true });
  }

  delete(call: Call, id: ContainerId): Promise<void> {
    return this.ended(call, id);
  }

  async list(): Promise<AsyncIterable<ContainerId>> {
    return each(existsSync(this.#path) ? readdirSync(this.#path) : []);
  }

  async explain(
    _call: Call,
    report: string,
  ): Promise<{ readonly code: ErrorCode; readonly message: string } | { readonly exitCode: number }> {
    return explainLog(fileTail(report, logMost));
  }

  #write(id: ContainerId, place: Place, spec: OciSpec, cgroup: string, options: readonly FormatOption[]): void {
    const { cgroups, program } = this.#host;
    const config = configOf({ spec, place, cgroup, layout: cgroups.layout, program, options });
    const policy = spec.linux?.seccomp === undefined || spec.linux.seccomp === null ? null : seccompPolicy(spec.linux.seccomp);
    mkdirSync(place.directory, { recursive: true, mode: 0o700 });
    rmSync(place.pidFile, { force: true });
    // The environment is in it, which other users must not read.
    writeFileSync(join(place.directory, "config"), config, { mode: 0o600 });
    writeFileSync(join(place.directory, "cgroup"), cgroup);
    rmSync(place.log, { force: true });
    if (policy !== null) writeFileSync(place.seccomp, policy);
    script(place.hook, [`echo "$LXC_PID" >'${place.pidFile}.new'`, `mv '${place.pidFile}.new' '${place.pidFile}'`]);
    enter(this.#path, id, place.directory, 0o700);
  }
}

/** Makes a container known below one of LXC's paths, whose directory has `mode`. */
function enter(path: string, id: ContainerId, directory: string, mode: number): void {
  mkdirSync(path, { recursive: true, mode });
  const link = join(path, id);
  rmSync(link, { force: true });
  symlinkSync(directory, link);
}

function script(path: string, lines: readonly string[]): void {
  writeFileSync(path, ["#!/bin/sh", "set -e", ...lines, ""].join("\n"), { mode: 0o700 });
  chmodSync(path, 0o700);
}

/** Removes the monitor's own cgroups, as soon as the monitor has ended, which is after its container. */
async function removeGroups(cgroup: string): Promise<void> {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(" - cgroup"))
    .map((line) => line.split(" ")[4] ?? "");
  const groups = mounts.flatMap((mount) => monitorGroups(cgroup).flatMap((group) => [join(mount, group, "lxc.pivot"), join(mount, group)]));
  const deadline = Date.now() + monitorTimeout;
  for (;;) {
    const left = groups.filter((group) => !removed(group));
    // A monitor that hangs keeps them. The next start of the container finds other names taken, and says so.
    if (left.length === 0 || Date.now() > deadline) return;
    await new Promise((resolve) => setTimeout(resolve, lookEvery));
  }
}

function removed(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

async function* each(names: readonly string[]): AsyncGenerator<ContainerId> {
  for (const name of names) if (/^[0-9a-f]{64}$/.test(name)) yield parseContainerId(name);
}
