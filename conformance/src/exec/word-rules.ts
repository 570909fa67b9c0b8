/** Rules for `plan`, `delete` and `list`. */
import { readdirSync } from "node:fs";
import { type ExecPowers, supports } from "@tsbox/kernel";
import { expect, expectCode, type Rule } from "../rule.ts";
import { script, withLinux } from "./spec.ts";
import type { ExecWorld } from "./world.ts";

/** The verbs of each power; powers without verbs are promises about the processes. */
const verbs: Readonly<Record<keyof ExecPowers, readonly string[]>> = {
  exec: ["planExec"],
  kill: ["kill"],
  pause: ["pause", "resume"],
  update: ["update"],
  stats: ["stats"],
  explain: ["explain"],
  ended: ["ended"],
  options: ["checkOptions"],
  processes: [],
  terminal: [],
  rootless: [],
};

export const wordRules: readonly Rule<ExecWorld>[] = [
  {
    id: "exec/powers-have-verbs",
    contract: "ExecPowers",
    title: "each power that is claimed is known and has its verbs",
    async run({ driver }) {
      for (const power of driver.powers) {
        expect(Object.hasOwn(verbs, power), `there is no power ${power}`);
        for (const verb of verbs[power]) expect(typeof Reflect.get(driver, verb) === "function", `power ${power}, but no verb ${verb}`);
      }
    },
  },
  {
    id: "exec/options-checked",
    contract: "TakesOptions.checkOptions",
    title: "an option that is none is InvalidArgument before the container is made, also for a privileged one, and no options are taken",
    needs: ["options"],
    async run({ driver, call }) {
      if (!supports(driver, "options")) return;
      await driver.checkOptions(call, [], { privileged: false });
      for (const privileged of [false, true])
        for (const key of ["", "no such key", "key\nother", "x".repeat(10_000)])
          await expectCode(driver.checkOptions(call, [{ key, value: "1" }], { privileged }), "InvalidArgument");
    },
  },
  {
    id: "exec/plan-again",
    contract: "ExecDriver.plan",
    title: "plan may be asked again and says the same",
    async run(world) {
      const bundle = world.bundle(script("true"));
      const first = JSON.stringify(await world.driver.plan(world.call, bundle));
      expect(JSON.stringify(await world.driver.plan(world.call, bundle)) === first, "the second plan is another one");
    },
  },
  {
    id: "exec/plan-keeps-bundle",
    contract: "ExecDriver.plan",
    title: "plan changes nothing of what it is given",
    async run(world) {
      const bundle = world.bundle(script("true"));
      const before = JSON.stringify(bundle);
      await world.driver.plan(world.call, bundle);
      expect(JSON.stringify(bundle) === before, "the bundle was changed");
    },
  },
  {
    id: "exec/plan-writes-own",
    contract: "ExecDriver.plan",
    title: "plan writes below the container's directory at most, and starts nothing",
    async run(world) {
      const bundle = world.bundle(script("true"));
      const [files, host] = [world.filesOutside(bundle), world.onHost()];
      await world.driver.plan(world.call, bundle);
      expect(same(world.filesOutside(bundle), files), "files outside the container's directory were changed");
      expect(same(world.onHost(), host), "mounts or cgroups were made");
    },
  },
  {
    id: "exec/unsupported-field",
    contract: "ExecDriver.plan",
    title: "a spec that the format can't express is refused with the field's name",
    async run(world) {
      const bundle = world.bundle(withLinux(script("true"), { weather: { rain: true } }));
      const planned = world.driver.plan(world.call, bundle);
      await expectCode(planned, "Unsupported");
      const message = await planned.then(
        () => "",
        (error: unknown) => (error instanceof Error ? error.message : ""),
      );
      expect(message.includes("weather"), `the field's name is not in: ${message}`);
    },
  },
  {
    id: "exec/delete-forgets",
    contract: "ExecDriver.delete",
    title: "after delete the format knows the container no more, and a second delete does nothing or says NotFound",
    async run(world) {
      const bundle = world.bundle(script("true"));
      await world.run(bundle);
      for await (const id of await world.driver.list(world.call)) expect(id !== bundle.id, "list still has it");
      const again = await world.driver.delete(world.call, bundle.id).then(
        () => null,
        (error: unknown) => error,
      );
      if (again !== null) await expectCode(Promise.reject(again), "NotFound");
    },
  },
  {
    id: "exec/delete-planned",
    contract: "ExecDriver.delete",
    title: "what was planned and never started can be deleted",
    async run(world) {
      const bundle = world.bundle(script("true"));
      await world.driver.plan(world.call, bundle);
      await world.driver.delete(world.call, bundle.id);
      for await (const id of await world.driver.list(world.call)) expect(id !== bundle.id, "list still has it");
    },
  },
  {
    id: "exec/nothing-left",
    contract: "ExecDriver.delete",
    title: "when a container has ended and is deleted, no mount and no cgroup of it is left on the host",
    async run(world) {
      const before = world.onHost();
      const bundle = world.bundle(script("sleep 100 & echo x > /written"));
      await world.run(bundle);
      expect(same(world.onHost(), before), `left: ${world.onHost().join(", ")}`);
      expect(readdirSync(bundle.changes).includes("written"), "what it wrote is not in its layer");
    },
  },
  {
    id: "exec/side-by-side",
    contract: "ExecDriver.plan",
    title: "containers of one driver run at the same time and see nothing of each other",
    async run(world) {
      const ended = await Promise.all(
        ["a", "b", "c", "d"].map((name) =>
          world.run(world.bundle(script(`echo ${name} > /mine; sleep 0.1; cat /mine; echo /proc/[0-9]*`))),
        ),
      );
      for (const [at, { stdout }] of ended.entries()) {
        const [mine, processes] = stdout.trim().split("\n");
        expect(mine === "abcd"[at], `container ${at} read ${mine}`);
        expect(processes === "/proc/1", `container ${at} sees ${processes}`);
      }
    },
  },
];

const same = (a: readonly string[], b: readonly string[]): boolean => JSON.stringify(a) === JSON.stringify(b);
