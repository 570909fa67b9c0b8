/** Runs a suite and reports. Each rule gets a new world, which is closed after it. */
import { asError } from "@tsbox/kernel";
import type { Measurement } from "./measure.ts";
import { type BaseWorld, placeOf, type Rule, skipReason } from "./rule.ts";

export interface Outcome {
  readonly rule: string;
  readonly title: string;
  /** The file of the contract and the place in it. */
  readonly contract: string;
  readonly result: "passed" | "failed" | "skipped";
  /** The reason of a failure or a skip. */
  readonly reason: string | null;
  readonly milliseconds: number;
}
export interface Report {
  /** `storage/overlay` */
  readonly subject: string;
  readonly outcomes: readonly Outcome[];
  /** The driver's powers as it was opened here; none if it could not be. */
  readonly powers: readonly string[];
  /** Only if it was asked for. */
  readonly performance?: readonly Measurement[];
}

/** A promise with its place, for lists. */
export interface RuleName {
  readonly id: string;
  readonly title: string;
  readonly contract: string;
}

export async function runRules<World extends BaseWorld>(
  rules: readonly Rule<World>[],
  makeWorld: () => Promise<World>,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const rule of rules) outcomes.push(await runRule(rule, makeWorld));
  return outcomes;
}

async function runRule<World extends BaseWorld>(rule: Rule<World>, makeWorld: () => Promise<World>): Promise<Outcome> {
  const began = performance.now();
  const outcome = (result: Outcome["result"], reason: string | null): Outcome => ({
    rule: rule.id,
    title: rule.title,
    contract: placeOf(rule),
    result,
    reason,
    milliseconds: performance.now() - began,
  });
  try {
    const world = await makeWorld();
    const skip = await within(world, rule);
    return skip === null ? outcome("passed", null) : outcome("skipped", skip);
  } catch (error) {
    return outcome("failed", asError(error).message);
  }
}

/** The rule's own error comes first; an error of the cleanup counts only without one. */
async function within<World extends BaseWorld>(world: World, rule: Rule<World>): Promise<string | null> {
  let skip: string | null;
  try {
    skip = skipReason(rule, world);
    if (skip === null) await rule.run(world);
  } catch (error) {
    await world.close().catch(() => undefined);
    throw error;
  }
  await world.close();
  return skip;
}

/** A function that registers a case, as those of `node:test` and of `@tsbox/harness`. */
export type TestRunner = (name: string, body: (test: { skip(reason: string): void }) => Promise<void>) => unknown;

/** Registers each rule as a test case. */
export function registerRules<World extends BaseWorld>(
  test: TestRunner,
  rules: readonly Rule<World>[],
  makeWorld: () => Promise<World>,
): void {
  for (const rule of rules) {
    test(`${rule.id}: ${rule.title}`, async ({ skip }) => {
      const reason = await within(await makeWorld(), rule);
      if (reason !== null) skip(reason);
    });
  }
}
