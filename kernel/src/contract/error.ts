/**
 * Errors. Logic branches on `code` alone; docs/errors.md explains each code. The kernel's `fail(code, text)` makes an error. Any other
 * value that a plugin throws reaches its callers as `Internal`. Codes are frozen within a major version of the kernel.
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
  | "DriverMissing"
  | "Unavailable"
  | "Conflict"
  | "DataLoss"
  | "Canceled"
  | "DeadlineExceeded"
  | "NotExecutable"
  | "CommandNotFound"
  | "Internal";

/** An error's fields besides its code and its message. They are for people, docs and logs: code must not branch on them. */
export interface ErrorFields {
  /** A stable name for docs: `storage-overlay/too-many-lowers`. */
  readonly reason?: string;
  /** The package that threw; the host adds it. */
  readonly plugin?: string;
  /** The system call that failed, e.g. `fsconfig`. */
  readonly syscall?: string;
  /** As in errno(3), positive. */
  readonly errno?: number;
  readonly path?: string;
  /** The stage of a process's start that failed: `cgroup`, `rootfs`, `exec` … */
  readonly stage?: string;
  readonly cause?: unknown;
  /** Errors of the cleanup after this error. */
  readonly suppressed?: readonly Error[];
}
