/**
 * Restart policies as values: whether a container is restarted after its first process has ended, and after what delay. All functions are
 * pure.
 */
import { type Container, type ExitStatus, fail } from "@tsbox/kernel";

const shortest = 100;
const longest = 60_000;
/** After a run of this length, in milliseconds, the delay starts again from the shortest. */
const settled = 10_000;

/** The record's fields after an end: `restarting`, with the time of the restart, or `exited`. */
export function afterEnd(record: Container, exit: ExitStatus, now: number): Pick<Container, "status" | "restart" | "restartCount"> {
  const { restart, restartCount, startedAt } = record;
  if (!restart.wanted && !wants(record, exit))
    return { status: "exited", restart: { ...restart, backoff: 0, wanted: false, at: null }, restartCount };
  const last = startedAt !== null && exit.at - startedAt >= settled ? 0 : restart.backoff;
  const backoff = last === 0 ? shortest : Math.min(longest, last * 2);
  return { status: "restarting", restart: { ...restart, backoff, wanted: false, at: now + backoff }, restartCount: restartCount + 1 };
}

/** Docker's decision for an end that no user asked for. */
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

/**
 * After a restart of the host: containers that were started once and are to run always, even if stopped (Docker's `always`), or unless
 * stopped.
 */
export function wantsAfterBoot(record: Container): boolean {
  if (record.startedAt === null) return false;
  if (record.config.restart.name === "always") return true;
  return wants(record, record.exit ?? { code: 0, signal: null, outOfMemory: false, at: 0 });
}

/** Whether the record must be on disk because the container's policy applies after a power cut. */
export const isKept = (record: Container): boolean => record.config.restart.name !== "no";

export function refuseRestarting(record: Container): void {
  if (record.status === "restarting")
    throw fail("FailedPrecondition", `Container ${record.id} is restarting, wait until the container is running`);
}
