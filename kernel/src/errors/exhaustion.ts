/** What the host has no more of, by Node's codes of failed system calls. */
import { constants } from "node:os";
import { fail, type TsboxError } from "./error.ts";

const scarce: ReadonlyMap<string, string> = new Map([
  ["ENOSPC", "no space left on device: make some (rm, rmi, system prune), then repeat"],
  ["EDQUOT", "the disk quota of the engine is used up: make room (rm, rmi, system prune), then repeat"],
  ["EMFILE", "the engine has too many open files: end some containers, or raise its limit (ulimit -n), then repeat"],
  ["ENFILE", "the host has too many open files: end some programs, then repeat"],
  ["ENOMEM", "the host has no memory left: end some programs, then repeat"],
]);

/** `ResourceExhausted` with words for people, or null: it failed for something else. */
export function exhaustion(error: Error): TsboxError | null {
  const lacking = scarce.get(systemCode(error) ?? "");
  return lacking === undefined ? null : fail("ResourceExhausted", lacking, { cause: error, ...systemFields(error) });
}

/**
 * The code of a failed system call ("ENOSPC"); undefined: the error is of another kind. Node has no name for EDQUOT, and calls it `UNKNOWN`
 * (libuv's table of errors lacks it).
 */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errno } = error as NodeJS.ErrnoException;
  if (typeof errno === "number" && Math.abs(errno) === constants.errno.EDQUOT) return "EDQUOT";
  return typeof code === "string" ? code : undefined;
}

/** What Node says of a failed system call. */
export function systemFields(error: Error): { readonly errno?: number; readonly syscall?: string; readonly path?: string } {
  return {
    ...("errno" in error && typeof error.errno === "number" ? { errno: Math.abs(error.errno) } : {}),
    ...("syscall" in error && typeof error.syscall === "string" ? { syscall: error.syscall } : {}),
    ...("path" in error && typeof error.path === "string" ? { path: error.path } : {}),
  };
}
