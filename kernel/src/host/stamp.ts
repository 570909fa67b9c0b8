import type { Call } from "../contract/call.ts";
import { abortReason, asError, fail, isTsboxError, type TsboxError } from "../errors/index.ts";

/** What a plugin threw, as others see it: our own errors get the plugin's name unless they have one, a stop of the call says why, all else is `Internal`. */
export function stamped(thrown: unknown, plugin: string, call?: Call): TsboxError {
  if (isTsboxError(thrown)) return thrown.plugin === undefined ? thrown.with({ plugin }) : thrown;
  const error = asError(thrown);
  if (error.name === "AbortError" && call?.signal.aborted) return abortReason(call.signal.reason).with({ plugin });
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
