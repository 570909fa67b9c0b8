/** The shims of this engine's containers: the one place of this plugin that speaks to the launcher, beside `RunningContainer`. */
import type { Call, Container, ContainerId, ShimEvent, ShimLaunch, ShimNamespaces, ShimState, Started } from "@tsbox/kernel";
import { type Reach, RunningContainer } from "./running-container.ts";

const sigkill = 9;

export class Shims {
  readonly #reach: Reach;

  constructor(reach: Reach) {
    this.#reach = reach;
  }

  /** The container that runs, or is about to, by this record. */
  container(record: Pick<Container, "id" | "pid" | "drivers">): RunningContainer {
    return new RunningContainer(this.#reach, record);
  }

  /** Forks a shim, which makes the namespaces at once. */
  spawn(call: Call, id: ContainerId, namespaces: ShimNamespaces): Promise<ShimState> {
    return this.#reach.launcher.spawn(call, id, this.#reach.directory(id), namespaces);
  }

  /** Finds the shim of an earlier launcher or daemon. `NotFound`: there is none. */
  connect(call: Call, id: ContainerId): Promise<ShimState> {
    return this.#reach.launcher.connect(call, id, this.#reach.directory(id));
  }

  /** Makes the first process ready, which then waits for `release`. Answers when it runs. */
  start(call: Call, id: ContainerId, launch: ShimLaunch): Promise<Started> {
    return this.#reach.launcher.start(call, id, launch);
  }

  /** Lets a start go on, which may be on its way yet. */
  release(call: Call, id: ContainerId): Promise<void> {
    return this.#reach.launcher.release(call, id);
  }

  /** Ends a shim that has started nothing; a start that is under way fails. */
  abandon(call: Call, id: ContainerId): Promise<void> {
    return this.#reach.launcher.abandon(call, id);
  }

  /** SIGKILL to every process of a container that no record describes, or none as it runs now. `pid`: of its first process. */
  kill(call: Call, id: ContainerId, pid: number): Promise<void> {
    return this.#reach.launcher.signal(call, id, sigkill, { all: true, pid });
  }

  /** Of those shims that the launcher is connected to. */
  ids(call: Call): Promise<readonly ContainerId[]> {
    return this.#reach.launcher.shims(call);
  }

  /** What shims report by themselves, for as long as the engine lives. One reader. */
  events(call: Call): Promise<AsyncIterable<ShimEvent>> {
    return this.#reach.launcher.events(call);
  }
}
