import type { Call } from "../contract/call.ts";
import { abortReason, asError, fail, isTsboxError, type TsboxError } from "../errors/index.ts";

/** Node's codes of failed system calls. */
const scarce: ReadonlyMap<string, string> = new Map([
  ["ENOSPC", "no space left on device: make some (rm, rmi, system prune), then repeat"],
  ["EDQUOT", "the disk quota of the engine is used up: make room (rm, rmi, system prune), then repeat"],
  ["EMFILE", "the engine has too many open files: end some containers, or raise its limit (ulimit -n), then repeat"],
  ["ENFILE", "the host has too many open files: end some programs, then repeat"],
  ["ENOMEM", "the host has no memory left: end some programs, then repeat"],
]);

/**
 * What a plugin threw, as others see it: our own errors get the plugin's name unless they have one, a stop of the call says why, what the
 * host has no more of is `ResourceExhausted`, all else is `Internal`.
 */
export function stamped(thrown: unknown, plugin: string, call?: Call): TsboxError {
  if (isTsboxError(thrown)) return thrown.plugin === undefined ? thrown.with({ plugin }) : thrown;
  const error = asError(thrown);
  if (error.name === "AbortError" && call?.signal.aborted) return abortReason(call.signal.reason).with({ plugin });
  const lacking = scarce.get("code" in error ? String(error.code) : "");
  if (lacking !== undefined) return fail("ResourceExhausted", lacking, { plugin, cause: thrown, ...systemFields(error) });
  return fail("Internal", `${plugin} failed: ${error.message}; this is a bug of that plugin`, {
    plugin,
    cause: thrown,
    ...systemFields(error),
  });
}

/** What Node says of a failed system call. */
function systemFields(error: Error): { readonly errno?: number; readonly syscall?: string; readonly path?: string } {
  return {
    ...("errno" in error && typeof error.errno === "number" ? { errno: Math.abs(error.errno) } : {}),
    ...("syscall" in error && typeof error.syscall === "string" ? { syscall: error.syscall } : {}),
    ...("path" in error && typeof error.path === "string" ? { path: error.path } : {}),
  };
}
