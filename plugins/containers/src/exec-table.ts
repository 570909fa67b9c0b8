/** The known execs: all that run, and the last ones that have ended. In memory only. */
import { type ContainerId, type Exec, type ExecId, fail } from "@tsbox/kernel";

/** How many ended execs are kept, for clients that ask for their exit code. */
const remembered = 512;

interface Entry {
  exec: Exec;
  readonly ended: PromiseWithResolvers<number>;
  output: Uint8Array | null;
  /** The local client that is attached to it. */
  client: number | null;
}

export class Execs {
  readonly #all: Map<ExecId, Entry> = new Map();
  readonly #ended: ExecId[] = [];

  add(exec: Exec): Entry {
    const ended = Promise.withResolvers<number>();
    const entry: Entry = { exec, ended, output: null, client: null };
    this.#all.set(exec.id, entry);
    return entry;
  }

  get(id: string): Entry {
    const entry = this.#all.get(id as ExecId);
    if (entry === undefined) throw fail("NotFound", `No such exec instance: ${id}`);
    return entry;
  }

  has(id: ExecId): boolean {
    return this.#all.has(id);
  }

  isRunning(id: ExecId): boolean {
    return this.#all.get(id)?.exec.status === "running";
  }

  of(container: ContainerId): readonly Exec[] {
    return [...this.#all.values()].map(({ exec }) => exec).filter((exec) => exec.container === container && exec.status !== "ended");
  }

  /** The running exec of a local client. */
  ofClient(client: number): Exec | null {
    for (const { exec, client: own } of this.#all.values()) if (own === client && exec.status === "running") return exec;
    return null;
  }

  /** Ends an exec. Null: it is unknown or had already ended. */
  end(id: ExecId, exitCode: number, output: Uint8Array | null): Exec | null {
    const entry = this.#all.get(id);
    if (entry === undefined || entry.exec.status === "ended") return null;
    entry.exec = { ...entry.exec, status: "ended", pid: null, exitCode };
    entry.output = output;
    entry.ended.resolve(exitCode);
    this.#remember(id);
    return entry.exec;
  }

  #remember(id: ExecId): void {
    this.#ended.push(id);
    for (const old of this.#ended.splice(0, Math.max(0, this.#ended.length - remembered))) this.#all.delete(old);
  }

  /** Drops the execs of an ended container that were never started, as Docker does. */
  dropUnstarted(container: ContainerId): void {
    for (const { exec } of this.#all.values()) if (exec.container === container && exec.status === "created") this.#all.delete(exec.id);
  }
}
