/**
 * A running container as one object. Code that acts on its processes uses it (`engine.shims.container`), and no other code talks to its
 * shim. The exec driver does what its powers (`kill`, `pause`, `stats`, `update`) offer. Everything else goes to the shim, or to the
 * container's cgroup.
 */
import {
  type Call,
  type CgroupUsage,
  type Container,
  type ExecDriver,
  type ExecId,
  fail,
  type HostToolkit,
  type LauncherService,
  type Resources,
  type ShimClient,
  type ShimExec,
  type Started,
  supports,
  type WindowSize,
} from "@tsbox/kernel";
import { isAlive } from "./alive.ts";
import { blockDevices } from "./spec/devices.ts";
import { readTemplate } from "./spec/exec-process.ts";
import { blockDevicesOf, resourcesOf } from "./spec/limits.ts";

const sigkill = 9;

/** What a running container needs to reach its processes. */
export interface Reach {
  readonly launcher: LauncherService;
  readonly host: HostToolkit;
  /** The container's own directory on tmpfs. */
  directory(id: Container["id"]): string;
  exec(id: string): Promise<ExecDriver>;
}

export class RunningContainer {
  readonly #reach: Reach;
  readonly #record: Pick<Container, "id" | "pid" | "drivers">;

  constructor(reach: Reach, record: Pick<Container, "id" | "pid" | "drivers">) {
    this.#reach = reach;
    this.#record = record;
  }

  /**
   * Signals the first process; with `all`, every process. It arrives even if the shim is dead or does not answer. `FailedPrecondition`: the
   * container does not run.
   */
  async signal(call: Call, signal: number, { all = false }: { readonly all?: boolean } = {}): Promise<void> {
    const { id, pid } = this.#record;
    // The host's SIGKILL ends whatever the format has made of the container, also when the format no longer answers.
    // A driver that is gone does not keep a container from ending.
    const driver = signal === sigkill ? null : await this.#driver().catch(() => null);
    if (driver !== null && supports(driver, "kill")) return driver.kill(call, id, signal, { all });
    return this.#reach.launcher.signal(call, id, signal, { all, pid });
  }

  async pause(call: Call): Promise<void> {
    const driver = await this.#driver();
    return supports(driver, "pause") ? driver.pause(call, this.#record.id) : this.#reach.launcher.pause(call, this.#record.id);
  }

  async resume(call: Call): Promise<void> {
    const driver = await this.#driver();
    return supports(driver, "pause") ? driver.resume(call, this.#record.id) : this.#reach.launcher.resume(call, this.#record.id);
  }

  /** Resizes the container's terminal. */
  resize(call: Call, size: WindowSize): Promise<void> {
    return this.#reach.launcher.resize(call, this.#record.id, size);
  }

  /** Connects a local client's descriptors to the first process. */
  attach(call: Call, client: ShimClient): Promise<void> {
    return this.#reach.launcher.attach(call, this.#record.id, client);
  }

  detach(call: Call, client: number): Promise<void> {
    return this.#reach.launcher.detach(call, this.#record.id, client);
  }

  /** The path of the unix socket that carries stdio in Docker's framing, of the first process and of execs. */
  attachSocket(call: Call): Promise<string> {
    return this.#reach.launcher.attachSocket(call, this.#record.id);
  }

  /** Starts one more process. Fails as `LauncherService.exec` does. */
  exec(call: Call, exec: ShimExec): Promise<Started> {
    return this.#reach.launcher.exec(call, this.#record.id, exec);
  }

  /** Signals the process of an exec and its process group. */
  signalExec(call: Call, exec: ExecId, signal: number): Promise<void> {
    return this.#reach.launcher.signalExec(call, this.#record.id, exec, signal);
  }

  resizeExec(call: Call, exec: ExecId, size: WindowSize): Promise<void> {
    return this.#reach.launcher.resizeExec(call, this.#record.id, exec, size);
  }

  /** The pids of all its processes on the host. `Unsupported`: the driver's processes are not processes of the host. */
  pids(call: Call): Promise<readonly number[]> {
    return this.#inCgroup((cgroup) => this.#reach.host.cgroupPids(call, cgroup));
  }

  /** The current resource usage. A driver may know only a part of it. */
  async usage(call: Call): Promise<Partial<CgroupUsage>> {
    const driver = await this.#driver();
    if (supports(driver, "stats")) return driver.stats(call, this.#record.id);
    return this.#inCgroup((cgroup) => this.#reach.host.cgroupUsage(call, cgroup));
  }

  /** Sets the container's limits. Returns a sentence for each one that the host could not set. */
  async update(call: Call, resources: Resources): Promise<readonly string[]> {
    const limits = resourcesOf(resources, blockDevices(blockDevicesOf(resources)));
    const driver = await this.#driver();
    if (!supports(driver, "update")) return this.#reach.host.cgroupUpdate(call, await this.#cgroup(), limits);
    await driver.update(call, this.#record.id, limits);
    return [];
  }

  #driver(): Promise<ExecDriver> {
    return this.#reach.exec(this.#record.drivers.exec);
  }

  async #cgroup(): Promise<string> {
    const { id, drivers } = this.#record;
    const { cgroup } = readTemplate(this.#reach.directory(id));
    if (cgroup !== null && supports(await this.#driver(), "processes")) return cgroup;
    throw fail("Unsupported", `processes of the exec driver ${drivers.exec} are not the host's: they can't be looked at from here`);
  }

  /** If the container has ended meanwhile, its cgroup or its directory is gone: then the error is that it does not run. */
  async #inCgroup<T>(work: (cgroup: string) => Promise<T>): Promise<T> {
    try {
      return await work(await this.#cgroup());
    } catch (error) {
      const { id, pid } = this.#record;
      if (isAlive(pid)) throw error;
      throw fail("FailedPrecondition", `container ${id} is not running`, { reason: "containers/not-running", cause: error });
    }
  }
}
