/** Where containers' cgroups are searched, in directory trees that stand for the hierarchies. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, temporaryDirectory } from "@tsbox/harness";
import type { Container, ContainerId } from "@tsbox/kernel";
import { groupsOf, idsWithGroups, processesIn, removeGroup, scopeName, slicePath } from "../src/groups.ts";

const test = suite("cgroups by name");
const id = (letter: string): ContainerId => letter.repeat(64) as ContainerId;
const record = (letter: string, cgroupParent: string): Pick<Container, "id" | "config"> =>
  ({ id: id(letter), config: { cgroupParent } }) as Pick<Container, "id" | "config">;
const engineOf = (...known: readonly Pick<Container, "id" | "config">[]) => ({
  engineId: "0123abcd",
  records: { all: () => known },
});

test("slices lie in one another by their names", () => {
  assert.equal(slicePath("tsbox.slice"), "/tsbox.slice");
  assert.equal(slicePath("a-b-c.slice"), "/a.slice/a-b.slice/a-b-c.slice");
  assert.equal(slicePath("-.slice"), "/");
});

test("the engine's own directory, a parent, scopes of slices: this engine's alone", (t) => {
  const [one, two] = [join(temporaryDirectory(t), "one"), join(temporaryDirectory(t), "two")];
  const engine = engineOf(record("b", "/mine"), record("d", "a-b.slice"), record("e", ""));
  const made = [
    join(one, "tsbox-0123abcd", id("a"), "below"),
    join(two, "tsbox-0123abcd", id("a")),
    join(one, "tsbox-ffffffff", id("9")),
    join(one, "mine", id("b")),
    join(one, "mine", id("9")),
    join(one, "tsbox.slice", scopeName(engine, id("c"), 7), "container"),
    join(one, "tsbox.slice", scopeName({ engineId: "ffffffff" }, id("9"), 7), "container"),
    join(one, "a.slice", "a-b.slice", scopeName(engine, id("d"), 8), "container"),
    join(one, "a.slice", "a-b.slice", scopeName(engine, id("d"), 9), "container"),
  ];
  for (const directory of made) mkdirSync(directory, { recursive: true });
  assert.deepEqual([...idsWithGroups(engine, [one, two])].sort(), [id("a"), id("b"), id("c"), id("d")]);
  const found = (letter: string, cgroupParent: string): readonly string[] =>
    groupsOf(engine, { id: id(letter), cgroupParent }, [one, two]).filter((group) => existsSync(group));
  assert.deepEqual(found("a", ""), [join(one, "tsbox-0123abcd", id("a")), join(two, "tsbox-0123abcd", id("a"))]);
  assert.deepEqual(found("b", "/mine"), [join(one, "mine", id("b"))]);
  assert.deepEqual(found("c", ""), [join(one, "tsbox.slice", scopeName(engine, id("c"), 7), "container")]);
  assert.equal(found("d", "a-b.slice").length, 2);
  assert.deepEqual(found("e", ""), []);
});

test("processes are counted in groups that the container made, and those go with it", async (t) => {
  const group = join(temporaryDirectory(t), id("a"));
  mkdirSync(join(group, "init.scope", "deep"), { recursive: true });
  writeFileSync(join(group, "init.scope", "deep", "cgroup.procs"), "12\n13\n");
  assert.deepEqual(processesIn([join(group, "not"), group]), [12, 13]);
  const other = join(temporaryDirectory(t), id("b"));
  mkdirSync(join(other, "x", "y"), { recursive: true });
  await removeGroup(other);
  assert.equal(existsSync(other), false);
});
