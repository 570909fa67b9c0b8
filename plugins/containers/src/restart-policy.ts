/** Restart policies as values: whether a container whose first process has ended comes back, and after how long. All functions are pure. */
import { type Container, type ExitStatus, fail } from "@tsbox/kernel";

const shortest = 100;
const longest = 60_000;
/** Who ran that long starts from the shortest wait again. */
const settled = 10_000;

/** What the record says once its process has ended so: `restarting`, with the moment, or `exited`. */
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

export function refuseRestarting(record: Container): void {
  if (record.status === "restarting")
    throw fail("FailedPrecondition", `Container ${record.id} is restarting, wait until the container is running`);
}
