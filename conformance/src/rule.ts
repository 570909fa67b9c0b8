/**
 * What a suite is made of. A *rule* is one promise of a contract with a stable id; a *world* is all that a rule may touch, made afresh for
 * each. A rule that needs a power which the driver lacks is skipped, one that is about the lack is skipped where the power is there. What a
 * rule judges by is data: trees, error codes.
 */
import { type ErrorCode, isTsboxError } from "@tsbox/kernel";

export interface Rule<World> {
  /** `storage/remove-with-children`. Frozen within a major version of the contract: reports and badges name it. */
  readonly id: string;
  /** The promise, as a sentence. */
  readonly title: string;
  /** Powers without which there is nothing to check. */
  readonly needs?: readonly string[];
  /** Powers with which there is nothing to check: the rule is about the plain refusal. */
  readonly without?: readonly string[];
  /** Why this world can't show it, or null. */
  readonly unless?: (world: World) => string | null;
  run(world: World): Promise<void>;
}

/** What every world has, whatever the kind of driver. */
export interface BaseWorld {
  readonly powers: readonly string[];
  /** Undoes all that the rule made; a throw fails the rule. */
  close(): Promise<void>;
}

/** A rule that did not hold. */
export class Broken extends Error {
  override readonly name = "Broken";
}

export function expect(condition: unknown, text: string): asserts condition {
  if (!condition) throw new Broken(text);
}

/** Judged by code, never by prose. */
export async function expectCode(work: Promise<unknown>, ...codes: readonly ErrorCode[]): Promise<void> {
  const outcome = await work.then(
    () => "no error",
    (error: unknown) => (isTsboxError(error) ? error.code : `an error that is not ours: ${String(error)}`),
  );
  expect(
    codes.some((code) => code === outcome),
    `expected ${codes.join(" or ")}, got ${outcome}`,
  );
}

/** Why a rule is skipped here, or null. */
export function skipReason<World extends BaseWorld>(rule: Rule<World>, world: World): string | null {
  const lacks = rule.needs?.find((power) => !world.powers.includes(power));
  if (lacks !== undefined) return `no power ${lacks}`;
  const has = rule.without?.find((power) => world.powers.includes(power));
  if (has !== undefined) return `has power ${has}`;
  return rule.unless?.(world) ?? null;
}
