/**
 * The parts of a suite. A *rule* is one promise of a contract with a stable id; a *world* is everything that a rule may use, made anew for
 * each rule. A rule that needs a power is skipped if the driver lacks it; a rule about a missing power is skipped if the driver has it. A
 * rule judges by data: trees and error codes.
 */
import { type ErrorCode, isTsboxError } from "@tsbox/kernel";

export interface Rule<World> {
  /** `storage/remove-with-children`. Frozen within a major version of the contract: reports and badges use it. */
  readonly id: string;
  /** The promise, as a sentence. */
  readonly title: string;
  /**
   * Where the contract of the kind makes it: a member (`StorageDriver.remove`), or words of the doc comment. A promise of another
   * contract begins with the name of its file (`plugin: `), one of the OCI runtime spec with `oci: `.
   */
  readonly contract: string;
  /** The rule only applies to drivers with these powers. */
  readonly needs?: readonly string[];
  /** The rule only applies to drivers without these powers: it checks the plain refusal. */
  readonly without?: readonly string[];
  /** The reason why this world can't check the rule, or null. */
  readonly unless?: (world: World) => string | null;
  run(world: World): Promise<void>;
}

/** The part of a world that is the same for every kind of driver. */
export interface BaseWorld {
  readonly powers: readonly string[];
  /** Undoes everything that the rule made; an error fails the rule. */
  close(): Promise<void>;
}

/** The error of a rule that does not hold. */
export class Broken extends Error {
  override readonly name = "Broken";
}

export function expect(condition: unknown, text: string): asserts condition {
  if (!condition) throw new Broken(text);
}

/** Checks the code of an error, never its message. */
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

/** The reason to skip the rule here, or null. */
export function skipReason<World extends BaseWorld>(rule: Rule<World>, world: World): string | null {
  const lacks = rule.needs?.find((power) => !world.powers.includes(power));
  if (lacks !== undefined) return `no power ${lacks}`;
  const has = rule.without?.find((power) => world.powers.includes(power));
  if (has !== undefined) return `has power ${has}`;
  return rule.unless?.(world) ?? null;
}

/** The contract's file and the place in it, for reports. */
export function placeOf({ id, contract }: Pick<Rule<never>, "id" | "contract">): string {
  const [, file = id.slice(0, id.indexOf("/")), place = contract] = /^(\w+): (.*)$/.exec(contract) ?? [];
  if (file === "oci") return `OCI runtime spec, ${place}`;
  return `kernel/src/contract/${file}.ts, ${isMember(place) ? place : JSON.stringify(place)}`;
}

/** `Interface` or `Interface.member`; anything else quotes a doc comment. */
const isMember = (place: string): boolean => /^[A-Z]\w+(\.\w+)?$/.test(place);
