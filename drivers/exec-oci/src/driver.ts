/**
 * Containers of any OCI runtime that has runc's command line. `create` and `start` are steps of a launch, which the shim runs; what the
 * runtime leaves running is the shim's from then on. The runtime's own directory is the only record.
 */
import {
  type Bundle,
  type Call,
  type ContainerId,
  type ErrorCode,
  type ExecDriver,
  type ExecPowers,
  type Explains,
  fail,
  fileTail,
  type Launch,
  ownersOf,
  parseContainerId,
} from "@tsbox/kernel";
import { consoleName, placeOf, writeBundle } from "./internal/bundle.ts";
import type { CommandLine } from "./internal/command-line.ts";
import { reported } from "./internal/report.ts";
import { mountsOfNewer, refuseNewer } from "./internal/spec-versions.ts";
import type { Version } from "./probe.ts";

/** How much of a runtime's log is read, in bytes. */
const logMost = 256 << 10;

export class OciRuntimeDriver implements ExecDriver, Explains {
  readonly powers: readonly (keyof ExecPowers)[] = ["processes", "terminal", "explain", "ended"];
  protected readonly runtime: CommandLine;
  readonly #version: Version;

  constructor(runtime: CommandLine, version: Version) {
    this.runtime = runtime;
    this.#version = version;
  }

  async plan(_call: Call, { id, directory, spec }: Bundle): Promise<Launch> {
    const before = mountsOfNewer(spec, this.#version.spec);
    const own = before.length === 0 ? spec : { ...spec, mounts: spec.mounts?.filter((mount) => !before.includes(mount)) ?? [] };
    refuseNewer(own, this.#version.spec, this.runtime.name);
    const cgroup = spec.linux?.cgroupsPath;
    if (cgroup === undefined) throw fail("InvalidArgument", "the spec has no linux.cgroupsPath");
    const place = placeOf(directory, spec);
    writeBundle(place, own, this.#version.spec);
    const step = (words: readonly string[], how = {}): ReturnType<CommandLine["step"]> =>
      this.runtime.step(place.log, place.directory, words, how);
    const terminal = spec.process.terminal === true;
    return {
      kind: "command",
      rootfs: place.root,
      steps: [
        // An engine that was killed can leave a start of this container half done.
        ...(this.runtime.knows(id) ? [step(["delete", "--force", id])] : []),
        step(["create", "--pid-file", place.pidFile, ...(terminal ? ["--console-socket", consoleName] : []), id], { stdio: true }),
        step(["start", id], { held: true }),
      ],
      cgroup,
      ownFiles: spec.annotations?.["io.tsbox.own-files"] === "true",
      directories: [],
      files: [],
      owners: ownersOf(spec),
      mounts: before,
      readOnlyRoot: false,
      stays: false,
      enter: false,
      pidFile: place.pidFile,
      consoleSocket: terminal ? place.consoleSocket : null,
      report: place.log,
    };
  }

  async ended(call: Call, id: ContainerId): Promise<void> {
    await this.runtime.forget(call, id);
  }

  async delete(call: Call, id: ContainerId): Promise<void> {
    await this.runtime.forget(call, id);
  }

  async list(): Promise<AsyncIterable<ContainerId>> {
    return each(this.runtime.known());
  }

  async explain(_call: Call, report: string): Promise<{ readonly code: ErrorCode; readonly message: string }> {
    const said = reported(fileTail(report, logMost));
    return said ?? { code: "Internal", message: `${this.runtime.name} has failed, and its log does not say why` };
  }
}

async function* each(names: readonly string[]): AsyncGenerator<ContainerId> {
  for (const name of names) yield parseContainerId(name);
}
