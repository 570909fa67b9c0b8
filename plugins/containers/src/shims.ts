/** The shims of this engine's containers. In this plugin, only this class and `RunningContainer` talk to the launcher. */
import type { Call, Container, ContainerId, ShimEvent, ShimLaunch, ShimNamespaces, ShimState, Started } from "@tsbox/kernel";
import { type Reach, RunningContainer } from "./running-container.ts";

const sigkill = 9;

export class Shims {
  readonly #reach: Reach;

  constructor(reach: Reach) {
    this.#reach = reach;
  }

  /** The container of this record, which runs or is about to. */
  container(record: Pick<Container, "id" | "pid" | "drivers">): RunningContainer {
    return new RunningContainer(this.#reach, record);
  }

  /** Forks a shim, which creates the namespaces at once. */
  spawn(call: Call, id: ContainerId, namespaces: ShimNamespaces): Promise<ShimState> {
    return this.#reach.launcher.spawn(call, id, this.#reach.directory(id), namespaces);
  }

  /** Connects to the shim of an earlier launcher or daemon. `NotFound`: there is none. */
  connect(call: Call, id: ContainerId): Promise<ShimState> {
    return this.#reach.launcher.connect(call, id, this.#reach.directory(id));
  }

  /** Prepares the first process, which then waits for `release`. Returns when it runs. */
  start(call: Call, id: ContainerId, launch: ShimLaunch): Promise<Started> {
    return this.#reach.launcher.start(call, id, launch);
  }

  /** Lets a start continue. The start request may still be on its way. */
  release(call: Call, id: ContainerId): Promise<void> {
    return this.#reach.launcher.release(call, id);
  }

  /** Ends a shim that has started nothing; a start in progress fails. */
  abandon(call: Call, id: ContainerId): Promise<void> {
    return this.#reach.launcher.abandon(call, id);
  }

  /**
   * Sends SIGKILL to every process of a container that has no record, or whose record is not about its current processes. `pid`: its first
   * process.
   */
  kill(call: Call, id: ContainerId, pid: number): Promise<void> {
    return this.#reach.launcher.signal(call, id, sigkill, { all: true, pid });
  }

  /** The ids of the containers whose shims the launcher is connected to. */
  ids(call: Call): Promise<readonly ContainerId[]> {
    return this.#reach.launcher.shims(call);
  }

  /** The events that shims report, for as long as the engine lives. For one reader only. */
  events(call: Call): Promise<AsyncIterable<ShimEvent>> {
    return this.#reach.launcher.events(call);
  }
}
