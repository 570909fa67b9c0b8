import type { Call } from "../contract/call.ts";
import { abortReason, asError, exhaustion, fail, isTsboxError, systemFields, type TsboxError } from "../errors/index.ts";

/**
 * An error of a plugin, as its callers see it. A `TsboxError` gets the plugin's name unless it has one; the abort of a call gets the reason
 * of the abort; an exhausted resource of the host is `ResourceExhausted`; everything else is `Internal`.
 */
export function stamped(thrown: unknown, plugin: string, call?: Call): TsboxError {
  if (isTsboxError(thrown)) return thrown.plugin === undefined ? thrown.with({ plugin }) : thrown;
  const error = asError(thrown);
  if (error.name === "AbortError" && call?.signal.aborted) return abortReason(call.signal.reason).with({ plugin });
  const lack = exhaustion(error);
  if (lack !== null) return lack.with({ plugin });
  return fail("Internal", `${plugin} failed: ${error.message}; this is a bug of that plugin`, {
    plugin,
    cause: thrown,
    ...systemFields(error),
  });
}
