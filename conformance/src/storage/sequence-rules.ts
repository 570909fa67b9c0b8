/**
 * Sequences of verbs that nobody has thought of: each verb's answer, and each tree, is compared with a model. A sequence that fails is made
 * shorter until nothing can be left out of it. The sequences are the same in each run.
 */
import { asError, type ErrorCode, isTsboxError, type SnapshotName } from "@tsbox/kernel";
import fc from "fast-check";
import { MemoryTree } from "../reference/memory-tree.ts";
import { Broken, expect, type Rule } from "../rule.ts";
import { type Edit, expectSame } from "./tree.ts";
import { active, listed, named, viewKey } from "./words.ts";
import type { StorageWorld } from "./world.ts";

interface ModelSnapshot {
  readonly kind: "active" | "view" | "committed";
  readonly parent: string | null;
  readonly tree: MemoryTree;
}
type Model = Map<string, ModelSnapshot>;
/** `prefix`: the keys of this sequence begin with it, since the next one has the same driver. */
interface Real {
  readonly world: StorageWorld;
  readonly prefix: string;
  /** The verbs so far, as a person would write them. */
  readonly said: string[];
}
type Step = fc.AsyncCommand<Model, Real>;

const keys = ["a", "b", "c", "d", "e", "f"];
const sequences = 15;
const longest = 60;

/** The codes of the errors that apply; empty: the verb must be done. */
const unless = (...conditions: readonly (readonly [boolean, ErrorCode])[]): readonly ErrorCode[] =>
  conditions.flatMap(([holds, code]) => (holds ? [code] : []));

async function judged(codes: readonly ErrorCode[], work: () => Promise<unknown>): Promise<boolean> {
  const outcome = await work().then(
    () => null,
    (error: unknown) => (isTsboxError(error) ? error.code : `an error that is not ours: ${String(error)}`),
  );
  if (codes.length === 0) expect(outcome === null, `it is refused with ${outcome}`);
  else
    expect(
      codes.some((code) => code === outcome),
      `expected ${codes.join(" or ")}, got ${outcome ?? "no error"}`,
    );
  return outcome === null;
}

const whyNoParent = (model: Model, key: string, parent: string | null): readonly ErrorCode[] =>
  unless(
    [model.has(key), "AlreadyExists"],
    [parent !== null && !model.has(parent), "NotFound"],
    [parent !== null && model.has(parent) && model.get(parent)?.kind !== "committed", "FailedPrecondition"],
  );
const hasChildren = (model: Model, key: string): boolean => [...model.values()].some(({ parent }) => parent === key);

/** Mostly a key for which the verb makes sense, sometimes any; null: there is no such key, and the verb is left out. */
function pick(model: Model, number: number, fits: (snapshot: ModelSnapshot | undefined, key: string) => boolean): string | null {
  const any = number % 8 === 7;
  const from = any ? keys : keys.filter((key) => fits(model.get(key), key));
  return from[Math.floor(number / 8) % from.length] ?? null;
}

/** Always applicable: what the model refuses, the driver has to refuse. */
function step(run: (model: Model, real: Real) => Promise<void>): Step {
  return { check: () => true, run, toString: () => "a step" };
}

function make(verb: "prepare" | "view", first: number, second: number): Step {
  return step(async (model, { world, prefix, said }) => {
    const key = pick(model, first, (snapshot) => snapshot === undefined);
    const parent = second % 3 === 0 ? null : pick(model, second, (snapshot) => snapshot?.kind === "committed");
    if (key === null) return;
    said.push(`${verb}(${key}, ${parent})`);
    const below = parent === null ? null : named(prefix + parent);
    const { driver, call } = world;
    const done = await judged(whyNoParent(model, key, parent), () =>
      verb === "prepare" ? driver.prepare(call, active(prefix + key), below) : driver.view(call, viewKey(prefix + key), below),
    );
    const tree = parent === null ? undefined : model.get(parent)?.tree.copy();
    if (done) model.set(key, { kind: verb === "prepare" ? "active" : "view", parent, tree: tree ?? new MemoryTree() });
  });
}

function commit(first: number, second: number): Step {
  return step(async (model, { world, prefix, said }) => {
    const name = pick(model, first, (snapshot) => snapshot === undefined);
    const key = pick(model, second, (snapshot) => snapshot?.kind === "active");
    if (name === null || key === null) return;
    said.push(`commit(${name}, ${key})`);
    const snapshot = model.get(key);
    const codes = unless(
      [snapshot === undefined, "NotFound"],
      [snapshot !== undefined && snapshot.kind !== "active", "FailedPrecondition"],
      [model.has(name), "AlreadyExists"],
    );
    const done = await judged(codes, () => world.driver.commit(world.call, named(prefix + name), active(prefix + key)));
    if (!done || snapshot === undefined) return;
    model.delete(key);
    model.set(name, { ...snapshot, kind: "committed" });
  });
}

const remove = (number: number): Step =>
  step((model, real) =>
    removeKey(
      model,
      real,
      pick(model, number, (snapshot, key) => snapshot !== undefined && !hasChildren(model, key)),
    ),
  );

async function removeKey(model: Model, { world, prefix, said }: Real, key: string | null): Promise<void> {
  if (key === null) return;
  said.push(`remove(${key})`);
  const codes = unless([!model.has(key), "NotFound"], [hasChildren(model, key), "FailedPrecondition"]);
  if (await judged(codes, () => world.driver.remove(world.call, active(prefix + key)))) model.delete(key);
}

const read = (number: number): Step =>
  step((model, real) =>
    readKey(
      model,
      real,
      pick(model, number, (snapshot) => snapshot !== undefined && snapshot.kind !== "committed"),
    ),
  );

/** Mounts what is there, and compares its tree. */
async function readKey(model: Model, { world, prefix, said }: Real, key: string | null): Promise<void> {
  if (key === null) return;
  said.push(`read(${key})`);
  const snapshot = model.get(key);
  const codes = unless([snapshot === undefined, "NotFound"], [snapshot?.kind === "committed", "FailedPrecondition"]);
  const mounts = await judged(codes, () => world.driver.mounts(world.call, active(prefix + key)));
  if (!mounts || snapshot === undefined) return;
  const readOnly = snapshot.kind === "active";
  const found = await world.read(await world.driver.mounts(world.call, active(prefix + key), { readOnly }));
  expectSame(found, snapshot.tree.read(), key);
}

function edit(number: number, seed: number, which: number): Step {
  return step(async (model, { world, prefix, said }) => {
    const key = pick(model, number, (snapshot) => snapshot?.kind === "active");
    const snapshot = key === null ? undefined : model.get(key);
    if (key === null || snapshot?.kind !== "active") return;
    const edits = editOf(snapshot.tree, seed, which);
    for (const one of edits) said.push(`${one.op} ${one.path} in ${key}`);
    await world.edit(await world.driver.mounts(world.call, active(prefix + key)), edits);
    snapshot.tree.edit(edits);
  });
}

/** An edit that this tree allows. */
function editOf(tree: MemoryTree, seed: number, which: number): readonly Edit[] {
  const nodes = [...tree.read()].filter(([path]) => path !== ".");
  const files = nodes.filter(([, { type }]) => type === "file").map(([path]) => path);
  const directories = nodes.filter(([, { type }]) => type === "directory").map(([path]) => path);
  const [file, directory] = [files[which % files.length], directories[which % directories.length]];
  const fresh = (name: string): string | null => {
    const path = which % 2 === 1 && directory !== undefined ? `${directory}/${name}` : name;
    return nodes.some(([known]) => known === path) ? null : path;
  };
  const [path, other] = [fresh(`f${which % 3}`), fresh(`g${which % 3}`)];
  const write = path === null ? [] : [{ op: "write", path, content: `${seed} ${which}` } as const];
  switch (seed % 8) {
    case 0: {
      const made = fresh(`d${which % 3}`);
      return made === null ? write : [{ op: "mkdir", path: made }];
    }
    case 1:
      return file === undefined ? write : [{ op: "append", path: file, content: "+" }];
    case 2:
      return file === undefined ? write : [{ op: "remove", path: file }];
    case 3:
      return directory === undefined ? write : [{ op: "remove", path: directory }];
    case 4:
      return file === undefined || other === null ? write : [{ op: "rename", path: file, to: other }];
    case 5:
      return file === undefined || other === null ? write : [{ op: "link", path: other, to: file }];
    case 6:
      return directory === undefined
        ? write
        : [
            { op: "remove", path: directory },
            { op: "mkdir", path: directory, mode: 0o700 },
          ];
    default:
      return write;
  }
}

const look = step(async (model, { world, prefix, said }) => {
  said.push("list");
  const text = (kind: string, key: string, parent: string | null): string => `${kind} ${key} on ${parent}`;
  const found = (await listed(world)).filter(({ key }) => key.startsWith(prefix));
  const shown = found.map(({ kind, key, parent }) => text(kind, key.slice(prefix.length), parent?.slice(prefix.length) ?? null));
  const wanted = [...model].map(([key, { kind, parent }]) => text(kind, key, parent));
  expect(shown.sort().join() === wanted.sort().join(), `list says ${shown.join(", ")}, instead of ${wanted.join(", ")}`);
  for (const snapshot of found) {
    const stat = JSON.stringify(await world.driver.stat(world.call, snapshot.key));
    expect(stat === JSON.stringify(snapshot), `stat and list differ about ${snapshot.key.slice(prefix.length)}`);
    const { bytes, inodes } = await world.driver.usage(world.call, snapshot.key);
    expect(bytes >= 0 && inodes >= 0, `${snapshot.key.slice(prefix.length)} uses ${bytes} bytes and ${inodes} inodes`);
  }
});

const crash = step(async (_model, { world, said }) => {
  said.push("crash");
  await world.crash();
});

const number = fc.nat({ max: 8 * 60 - 1 });
const two = fc.tuple(number, number);
/** A step that is here twice comes twice as often. */
const steps: readonly fc.Arbitrary<Step>[] = [
  ...Array.from({ length: 3 }, () => two.map(([first, second]) => make("prepare", first, second))),
  two.map(([first, second]) => make("view", first, second)),
  ...Array.from({ length: 4 }, () => fc.tuple(number, number, number).map(([first, seed, which]) => edit(first, seed, which))),
  ...Array.from({ length: 2 }, () => two.map(([first, second]) => commit(first, second))),
  number.map(remove),
  number.map(remove),
  number.map(read),
  fc.constant(look),
  fc.constant(crash),
];

/** The trees of all that is there at the end of a sequence, and nothing of it afterwards. */
async function finish(model: Model, real: Real): Promise<void> {
  const { world, prefix, said } = real;
  await look.run(model, real);
  for (const [key, { kind, tree }] of model) {
    if (kind !== "committed") await readKey(model, real, key);
    else {
      const view = viewKey(`${prefix}look`);
      said.push(`read(${key})`);
      expectSame(await world.read(await world.driver.view(world.call, view, named(prefix + key) as SnapshotName)), tree.read(), key);
      await world.driver.remove(world.call, view);
    }
  }
  while (model.size > 0) {
    const free = [...model.keys()].filter((each) => !hasChildren(model, each));
    expect(free.length > 0, "the model stands on itself");
    for (const each of free) await removeKey(model, real, each);
  }
}

export const sequenceRules: readonly Rule<StorageWorld>[] = [
  {
    id: "storage/sequences",
    contract: "A refused verb changes nothing",
    title: "each of many sequences of verbs, edits and crashes has the answers and the trees of a model",
    async run(world) {
      let count = 0;
      const said: string[] = [];
      const play = async (commands: Iterable<Step>): Promise<void> => {
        count += 1;
        said.length = 0;
        const model: Model = new Map();
        const real: Real = { world, prefix: `s${count}-`, said };
        await fc.asyncModelRun(() => ({ model, real }), commands);
        await finish(model, real);
      };
      const commands = fc.commands([...steps], { maxCommands: longest, size: "max", disableReplayLog: true });
      const { failed, counterexample } = await fc.check(fc.asyncProperty(commands, play), { seed: 1, numRuns: sequences });
      if (!failed) return;
      // Once more, for what it says: the last one that was tried may be another.
      const why = await play(counterexample?.[0] ?? []).then(
        () => "it fails sometimes",
        (error: unknown) => asError(error).message,
      );
      throw new Broken(`${said.join(", ")}: ${why}`);
    },
  },
];
