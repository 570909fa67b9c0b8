/**
 * What each error code means outside of the engine: its HTTP status, its exit code, and whether a retry makes sense. A test compares
 * docs/errors.md with this table.
 */
import type { ErrorCode } from "../contract/error.ts";

export interface ErrorMeaning {
  readonly meaning: string;
  /** Whether the same request may succeed when it is repeated. */
  readonly retry: "no" | "after a change" | "yes, backing off" | "caller decides";
  /** HTTP status of the engine's API. Docker's 304 ("already so") is added by the API itself. */
  readonly http: number;
  /** Exit code of `run`. Other commands exit 1; so does `exec`, unless its command is to blame. */
  readonly exit: number;
}

export const errorTable: Readonly<Record<ErrorCode, ErrorMeaning>> = {
  InvalidArgument: { meaning: "the caller's input is wrong", retry: "no", http: 400, exit: 125 },
  NotFound: { meaning: "no such thing", retry: "no", http: 404, exit: 125 },
  AlreadyExists: { meaning: "the name is taken", retry: "no", http: 409, exit: 125 },
  FailedPrecondition: { meaning: "wrong state: children exist, it does not run", retry: "after a change", http: 409, exit: 125 },
  Unsupported: { meaning: "a power that this driver or host lacks", retry: "no", http: 501, exit: 125 },
  VersionMismatch: { meaning: "ranges of contracts do not meet", retry: "no", http: 400, exit: 125 },
  PermissionDenied: { meaning: "needs root, a subuid range or a login", retry: "after a change", http: 403, exit: 125 },
  ResourceExhausted: {
    meaning: "disk, descriptors, pids, quota or the address pool is used up",
    retry: "after a change",
    http: 503,
    exit: 125,
  },
  DriverMissing: { meaning: "its driver is not installed, or can't be opened", retry: "after a change", http: 503, exit: 125 },
  Unavailable: { meaning: "a registry or device is busy or gone", retry: "yes, backing off", http: 503, exit: 125 },
  Conflict: { meaning: "lost a race against another request", retry: "yes, backing off", http: 409, exit: 125 },
  DataLoss: { meaning: "a digest or size is wrong, a record is torn", retry: "no", http: 422, exit: 125 },
  Canceled: { meaning: "stopped by the caller", retry: "caller decides", http: 499, exit: 130 },
  DeadlineExceeded: { meaning: "stopped by time", retry: "caller decides", http: 504, exit: 124 },
  NotExecutable: { meaning: "the container's command can't be executed", retry: "no", http: 400, exit: 126 },
  CommandNotFound: { meaning: "the container's command does not exist", retry: "no", http: 400, exit: 127 },
  Internal: { meaning: "a bug of ours or of a driver", retry: "no", http: 500, exit: 125 },
};

export const errorCodes: readonly ErrorCode[] = Object.keys(errorTable) as ErrorCode[];
