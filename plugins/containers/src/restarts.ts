/**
 * Restart policies. When a first process ends, its policy says whether it comes back, and after how long; until then the container is `restarting`, and what it waits for
 * is in its record on tmpfs, so that the next daemon goes on with it. After a restart of the host tmpfs is empty, and the durable record says who has to run again.
 */
import { type Call, type Container, type ContainerId, type ExitStatus, fail } from "@tsbox/kernel";
import type { Engine } from "./engine.ts";

const shortest = 100;
const longest = 60_000;
/** Who ran that long starts from the shortest wait again. */
const settled = 10_000;
/** Of a setTimeout. */
const furthest = 2 ** 31 - 1;

/** What the record says once its process has ended so: `restarting`, with the moment, or `exited`. Pure. */
export function afterEnd(record: Container, exit: ExitStatus, now: number): Pick<Container, "status" | "restart" | "restartCount"> {
  const { restart, restartCount, startedAt } = record;
  if (!restart.wanted && !wants(record, exit))
    return { status: "exited", restart: { ...restart, backoff: 0, wanted: false, at: null }, restartCount };
  const last = startedAt !== null && exit.at - startedAt >= settled ? 0 : restart.backoff;
  const backoff = last === 0 ? shortest : Math.min(longest, last * 2);
  return { status: "restarting", restart: { ...restart, backoff, wanted: false, at: now + backoff }, restartCount: restartCount + 1 };
}

/** As Docker decides at an end that nobody asked for. */
function wants({ config, restart, restartCount }: Container, exit: ExitStatus): boolean {
  if (restart.stopped || config.autoRemove) return false;
  switch (config.restart.name) {
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure":
      return exit.code !== 0 && (config.restart.maximumRetryCount === 0 || restartCount < config.restart.maximumRetryCount);
    default:
      return false;
  }
}

/** After a restart of the host: who was started once and is to run always, even if it was stopped (Docker's `always`), or unless it was. */
export function wantsAfterBoot(record: Container): boolean {
  if (record.startedAt === null) return false;
  if (record.config.restart.name === "always") return true;
  return wants(record, record.exit ?? { code: 0, signal: null, outOfMemory: false, at: 0 });
}

/** A record of a container that keeps its policy's promise over a power cut. */
export const isKept = (record: Container): boolean => record.config.restart.name !== "no";

/** Waits that are under way. Docker's words for what can't be done meanwhile are with the verbs. */
export class Restarts {
  readonly #timers: Map<ContainerId, NodeJS.Timeout> = new Map();
  #again: ((id: ContainerId) => void) | null = null;

  /** From now on those whose time has come are given to `again`, which starts them if they are still `restarting`. What ended earlier is in the records. */
  open(again: (id: ContainerId) => void, records: readonly Container[]): void {
    this.#again = again;
    for (const record of records) this.schedule(record);
  }

  schedule(record: Container): void {
    const again = this.#again;
    this.cancel(record.id);
    if (again === null || record.status !== "restarting") return;
    const wait = Math.min(furthest, Math.max(0, (record.restart.at ?? 0) - Date.now()));
    this.#timers.set(
      record.id,
      setTimeout(() => {
        this.#timers.delete(record.id);
        again(record.id);
      }, wait),
    );
  }

  cancel(id: ContainerId): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }

  close(): void {
    this.#again = null;
    for (const id of [...this.#timers.keys()]) this.cancel(id);
  }
}

/**
 * A start that was to bring it back has failed, and nothing of it is left. It counts as an end: what it lacks (another container's network, a port, a directory) may
 * come, so the policy goes on with it. Docker gives up here, and after a restart of the host the order of starts decides who runs.
 */
export async function failedRestart(engine: Engine, call: Call, record: Container, why: unknown): Promise<void> {
  const error = why instanceof Error ? why.message : String(why);
  const exit: ExitStatus = { code: 128, signal: null, outOfMemory: false, at: Date.now() };
  const next = { ...record, ...afterEnd({ ...record, startedAt: null }, exit, exit.at), exit, error };
  if (next.status !== "restarting") await giveUp(engine, call, next, false);
  else engine.restarts.schedule(engine.records.note(next));
}

/** Under the container's lock: it does not come back. Answers the record as it is now. */
export async function giveUp(engine: Engine, call: Call, record: Container, stopped: boolean): Promise<Container> {
  engine.restarts.cancel(record.id);
  const left = await engine.records.save(call, {
    ...record,
    status: "exited",
    restart: { stopped: record.restart.stopped || stopped, backoff: 0, wanted: false, at: null },
  });
  if (left.exit !== null) engine.waiters.happened(left.id, "exit", left.exit);
  return left;
}

export function refuseRestarting(record: Container): void {
  if (record.status === "restarting")
    throw fail("FailedPrecondition", `Container ${record.id} is restarting, wait until the container is running`);
}
