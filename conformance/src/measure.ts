/** The performance section of a report: medians of a verb's time. They compare drivers on one host, and judge none. */
import { asError } from "@tsbox/kernel";

export interface Measurement {
  /** `prepare at depth 10` */
  readonly name: string;
  /** The median in milliseconds. Null: it could not be measured, for this `reason`. */
  readonly milliseconds: number | null;
  /** Of a measurement of memory: the median. Missing: it is one of time, or could not be measured. */
  readonly kibibytes?: number;
  readonly runs: number;
  readonly reason: string | null;
}

/** Odd, so that the median is one of them. */
const runs = 11;

/**
 * Repeats `round`, which times its steps by `timed`. If a round fails, none of the steps has a median: a driver that does not hold its
 * contract has no time.
 */
export async function measure<Step extends string>(
  steps: readonly Step[],
  round: (at: number, timed: <T>(step: Step, work: () => Promise<T>) => Promise<T>) => Promise<void>,
  suffix = "",
): Promise<readonly Measurement[]> {
  const times = new Map<Step, number[]>();
  let reason: string | null = null;
  const timed = async <T>(step: Step, work: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const answer = await work();
    times.set(step, [...(times.get(step) ?? []), performance.now() - began]);
    return answer;
  };
  try {
    for (let at = 0; at < runs; at++) await round(at, timed);
  } catch (thrown) {
    reason = asError(thrown).message;
  }
  return steps.map((step) => measurement(`${step}${suffix}`, times.get(step) ?? [], reason));
}

/** The median of the kibibytes that each round answers. */
export async function measureMemory(name: string, rounds: number, round: (at: number) => Promise<number>): Promise<Measurement> {
  const found: number[] = [];
  try {
    for (let at = 0; at < rounds; at++) found.push(await round(at));
  } catch (thrown) {
    return { name, milliseconds: null, runs: found.length, reason: asError(thrown).message };
  }
  const kibibytes = found.sort((a, b) => a - b)[found.length >> 1] ?? 0;
  return { name, milliseconds: null, kibibytes, runs: found.length, reason: null };
}

/** Measurements that can't be made, for one reason. */
export function unmeasured(names: readonly string[], reason: string): readonly Measurement[] {
  return names.map((name) => measurement(name, [], reason));
}

function measurement(name: string, times: readonly number[], reason: string | null): Measurement {
  const median = [...times].sort((a, b) => a - b)[times.length >> 1];
  if (reason === null && median !== undefined) return { name, milliseconds: Number(median.toFixed(3)), runs: times.length, reason: null };
  return { name, milliseconds: null, runs: times.length, reason: reason ?? "it was not run" };
}
