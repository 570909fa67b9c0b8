/**
 * Containers of a runtime with a kernel of its own (runsc). The host sees the sandbox, not the container's processes: what the engine does
 * to the processes of other containers by itself goes through the runtime's commands here.
 */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Bundle,
  type Call,
  type ContainerId,
  type ContainerStats,
  type ExecBundle,
  type ExecPowers,
  type Execs,
  fail,
  type Kills,
  type Launch,
  type LaunchCommand,
  type OciSpec,
  type Pauses,
  type Stats,
} from "@tsbox/kernel";
import { OciRuntimeDriver } from "./driver.ts";
import { placeOf } from "./internal/bundle.ts";

/** Milliseconds after which the file of an exec's process is surely read. */
const readAfter = 60_000;

export class SandboxedDriver extends OciRuntimeDriver implements Execs, Kills, Pauses, Stats {
  override readonly powers: readonly (keyof ExecPowers)[] = ["terminal", "explain", "ended", "exec", "kill", "pause", "stats"];

  /** The sandbox's own threads count against a limit of processes, so it would not even start. */
  override plan(call: Call, bundle: Bundle): Promise<Launch> {
    return super.plan(call, { ...bundle, spec: withoutPidsLimit(bundle.spec) });
  }

  /** One step, which is the exec's process as far as the host can see it: it has its streams, and ends with its exit code. */
  async planExec(_call: Call, { id, container, directory, process }: ExecBundle): Promise<LaunchCommand> {
    const place = placeOf(directory, { ociVersion: "1.0.0", process });
    const folder = join(place.directory, "execs");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const old of readdirSync(folder)) {
      const path = join(folder, old);
      if (Date.now() - statSync(path).mtimeMs > readAfter) rmSync(path, { force: true });
    }
    const file = join(folder, id);
    writeFileSync(file, JSON.stringify(process), { mode: 0o600 });
    const log = join(place.directory, `exec-${id.slice(0, 12)}.log`);
    return {
      kind: "command",
      steps: [this.runtime.step(log, place.directory, ["exec", "--process", file, container], { stdio: true })],
      cgroup: null,
      ownFiles: false,
      directories: [],
      files: [],
      owners: null,
      mounts: [],
      readOnlyRoot: false,
      pidFile: null,
      stays: false,
      enter: false,
      consoleSocket: null,
      report: log,
    };
  }

  async kill(call: Call, id: ContainerId, signal: number, { all = false }: { readonly all?: boolean | undefined } = {}): Promise<void> {
    await this.runtime.run(call, "kill", ...(all ? ["--all"] : []), id, String(signal));
  }

  async pause(call: Call, id: ContainerId): Promise<void> {
    await this.runtime.run(call, "pause", id);
  }

  async resume(call: Call, id: ContainerId): Promise<void> {
    await this.runtime.run(call, "resume", id);
  }

  async stats(call: Call, id: ContainerId): Promise<ContainerStats> {
    const { stdout } = await this.runtime.run(call, "events", "--stats", id);
    return statsOf(Buffer.from(stdout).toString(), this.runtime.name);
  }
}

function withoutPidsLimit(spec: OciSpec): OciSpec {
  const { pids: _, ...resources } = spec.linux?.resources ?? {};
  return { ...spec, linux: { ...spec.linux, resources } };
}

/** `{"type":"stats","id":…,"data":{"cpu":{"usage":{"total":N}},"memory":{"usage":{"usage":N}},"pids":{"current":N}}}`. */
export function statsOf(text: string, runtime: string): ContainerStats {
  interface Event {
    readonly data?: {
      readonly cpu?: { readonly usage?: { readonly total?: number } };
      readonly memory?: { readonly usage?: { readonly usage?: number } };
      readonly pids?: { readonly current?: number };
    };
  }
  let data: Event["data"];
  try {
    data = (JSON.parse(text) as Event).data;
  } catch (error) {
    throw fail("Internal", `${runtime} events printed no statistics`, { cause: error });
  }
  return {
    cpuNanoseconds: data?.cpu?.usage?.total ?? 0,
    memoryBytes: data?.memory?.usage?.usage ?? 0,
    pids: data?.pids?.current ?? 0,
  };
}
