/** The suite of a kind over one driver: as test cases of a runner, or as a report. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asError, type DriverKind, fail, type HostToolkit, isTsboxError, type Sparse } from "@tsbox/kernel";
import { execKind } from "./exec/index.ts";
import { logKind } from "./log/index.ts";
import { networkKind } from "./network/index.ts";
import { openDriver } from "./plugin-subject.ts";
import { registryKind } from "./registry/index.ts";
import { type BaseWorld, placeOf, type Rule } from "./rule.ts";
import { type Outcome, type Report, type RuleName, registerRules, runRules, type TestRunner } from "./run.ts";
import { storageKind } from "./storage/index.ts";
import type { Kind, Target } from "./target.ts";
import { openToolkit } from "./toolkit.ts";
import { volumeKind } from "./volume/index.ts";

export interface Suite {
  /** `storage/zfs` */
  readonly subject: string;
  readonly rules: readonly RuleName[];
  /** The reason why this host can't use the driver, or null. Then the suite is one skip with that reason. */
  readonly unusable: string | null;
  /** Registers each rule as a test case. */
  register(test: TestRunner): void;
  /** Runs all rules, and ends the suite. `performance`: the report has medians as well. */
  run(options?: Sparse<{ performance: boolean }>): Promise<Report>;
}

/** A new suite is one line here. */
const suites: Readonly<Record<string, (target: Target) => Promise<Suite>>> = {
  storage: (target) => suiteOf(storageKind, target),
  exec: (target) => suiteOf(execKind, target),
  network: (target) => suiteOf(networkKind, target),
  volume: (target) => suiteOf(volumeKind, target),
  log: (target) => suiteOf(logKind, target),
  registry: (target) => suiteOf(registryKind, target),
};

/** Opens the driver once, to find out whether this host can use it. `Unsupported`: the kind has no suite. */
export async function suite(target: Target): Promise<Suite> {
  const made = Object.hasOwn(suites, target.kind) ? suites[target.kind] : undefined;
  if (made === undefined)
    throw fail("Unsupported", `there is no conformance suite for ${target.kind}; there is one for ${Object.keys(suites).join(", ")}`);
  return made(target);
}

async function suiteOf<World extends BaseWorld>(kind: Kind<World>, target: Target): Promise<Suite> {
  const subject = `${target.kind}/${target.id}`;
  const opens: Rule<BaseWorld> = {
    id: `${target.kind}/opens`,
    title: "the driver opens, or its probe says why this host can't use it",
    contract: "plugin: Provider.probe",
    run: async () => undefined,
  };
  const names = [opens, ...kind.rules].map((rule): RuleName => ({ id: rule.id, title: rule.title, contract: placeOf(rule) }));
  const toolkit = await openToolkit();
  const host = "skip" in toolkit ? null : toolkit.host;
  const close = async (): Promise<void> => ("skip" in toolkit ? undefined : toolkit.close());
  const tried: Tried = host === null ? { skip: "skip" in toolkit ? toolkit.skip : "" } : await tryToOpen(kind, target, host);
  const world = (): Promise<World> => {
    if (host === null) throw fail("Internal", "the suite has no toolkit");
    return kind.world(target, host, target.directory ?? tmpdir());
  };
  const whole = "powers" in tried;
  return {
    subject,
    rules: names,
    unusable: !whole && "skip" in tried ? tried.skip : null,
    register(test) {
      test(`${opens.id}: ${opens.title}`, async ({ skip }) => {
        if (whole) return;
        await close();
        if ("failure" in tried) throw tried.failure;
        skip(tried.skip);
      });
      if (!whole) return;
      registerRules(test, kind.rules, world);
      test("the toolkit closes", close);
    },
    async run({ performance = false } = {}) {
      const first = (result: Outcome["result"], reason: string | null): Outcome => ({
        rule: opens.id,
        title: opens.title,
        contract: placeOf(opens),
        result,
        reason,
        milliseconds: 0,
      });
      try {
        if (!whole)
          return {
            subject,
            powers: [],
            outcomes: ["skip" in tried ? first("skipped", tried.skip) : first("failed", asError(tried.failure).message)],
          };
        const outcomes = [first("passed", null), ...(await runRules(kind.rules, world))];
        const report = { subject, powers: tried.powers, outcomes };
        return performance ? { ...report, performance: (await kind.performance?.(world)) ?? [] } : report;
      } finally {
        await close();
      }
    },
  };
}

type Tried = { readonly powers: readonly string[] } | { readonly skip: string } | { readonly failure: unknown };

async function tryToOpen(kind: Pick<Kind<never>, "whyNot" | "trial">, target: Target, host: HostToolkit): Promise<Tried> {
  const reason = kind.whyNot();
  if (reason !== null) return { skip: reason };
  const { plugin, kind: name, id, directory = tmpdir() } = target;
  const own = mkdtempSync(join(directory, "conformance-"));
  let trial: Awaited<ReturnType<NonNullable<Kind<never>["trial"]>>> | undefined;
  try {
    trial = await kind.trial?.(target);
    const config = trial === undefined ? target.config : trial.config;
    const { value, close } = await openDriver(plugin, name as DriverKind, id, { directory: own, services: { host }, config });
    const powers = [...(value as { readonly powers: readonly string[] }).powers];
    await close();
    return { powers };
  } catch (error) {
    return isTsboxError(error) && error.code === "Unsupported" ? { skip: error.message } : { failure: error };
  } finally {
    await trial?.close();
    rmSync(own, { recursive: true, force: true });
  }
}
