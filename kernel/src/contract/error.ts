/**
 * What an error says. Logic branches on `code` alone; docs/errors.md says what each means. `fail(code, text)` of the kernel makes one;
 * anything else that a plugin throws reaches others as `Internal`. Codes are frozen within a major version of the kernel.
 */

export type ErrorCode =
  | "InvalidArgument"
  | "NotFound"
  | "AlreadyExists"
  | "FailedPrecondition"
  | "Unsupported"
  | "VersionMismatch"
  | "PermissionDenied"
  | "ResourceExhausted"
  | "Unavailable"
  | "Conflict"
  | "DataLoss"
  | "Canceled"
  | "DeadlineExceeded"
  | "NotExecutable"
  | "CommandNotFound"
  | "Internal";

/** What an error carries besides its code and its sentence. All of it is for people, docs and logs: nothing here is for branching. */
export interface ErrorFields {
  /** A stable name for docs: `storage-overlay/too-many-lowers`. */
  readonly reason?: string;
  /** The package that threw; the host stamps it. */
  readonly plugin?: string;
  /** The system call that failed, e.g. `fsconfig`. */
  readonly syscall?: string;
  /** As in errno(3), positive. */
  readonly errno?: number;
  readonly path?: string;
  /** The stage of a process's start that failed: `cgroup`, `rootfs`, `exec` … */
  readonly stage?: string;
  readonly cause?: unknown;
  /** What went wrong while cleaning up after this error. */
  readonly suppressed?: readonly Error[];
}
