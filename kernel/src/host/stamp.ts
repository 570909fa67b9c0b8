import type { Call } from "../contract/call.ts";
import { abortReason, asError, exhaustion, fail, isTsboxError, systemFields, type TsboxError } from "../errors/index.ts";

/**
 * What a plugin threw, as others see it: our own errors get the plugin's name unless they have one, a stop of the call says why, what the
 * host has no more of is `ResourceExhausted`, all else is `Internal`.
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
