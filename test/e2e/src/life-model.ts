/**
 * A model of a container's life, and a check of a history against it. A history is the requests of several clients, with their begin, end
 * and answer. It is valid if each request can be split into steps of the model that, executed one after another between its begin and its
 * end, give all the answers. Every possible order is followed at once, as a set of worlds. If no world is left, the model forbids the last
 * answer.
 */

export type Verb =
  | "create"
  | "start"
  | "stop"
  | "kill"
  | "term"
  | "pause"
  | "unpause"
  | "restart"
  | "rm"
  | "rm -f"
  | "exec"
  | "wait"
  | "inspect"
  | "rename"
  | "commit"
  | "update"
  | "copy"
  | "diff";

export interface Request {
  readonly client: number;
  readonly verb: Verb;
  /** The container's name; for a rename also the new one. */
  readonly name: string;
  readonly to?: string;
  /** HTTP's status; null: the client disconnected before the answer. */
  status: number | null;
  /** The status that `inspect` showed. */
  shown?: string;
  body?: string;
}
export type Moment = { readonly at: "begin" | "end"; readonly request: Request };

/** The answers that Docker's API documents, whatever the state. */
export const documented: Readonly<Record<Verb, readonly number[]>> = {
  create: [201, 409],
  start: [204, 304, 404, 409],
  stop: [204, 304, 404],
  kill: [204, 404, 409],
  term: [204, 404, 409],
  pause: [204, 404, 409],
  unpause: [204, 404, 409],
  restart: [204, 404, 409],
  rm: [204, 404, 409],
  "rm -f": [204, 404, 409],
  exec: [201, 404, 409],
  wait: [200, 404],
  inspect: [200, 404],
  rename: [204, 400, 404, 409],
  commit: [201, 404, 409],
  update: [200, 404],
  copy: [200, 404],
  diff: [200, 404],
};

/** `reserved`: its name is in use, but no request finds it yet. */
type Life = "reserved" | "created" | "running" | "paused" | "exited" | "gone";
interface Box {
  readonly name: string;
  readonly life: Life;
  /** Its process got a signal that ends it. */
  readonly dying: boolean;
  readonly removing: boolean;
  /** The number of its ends. */
  readonly ends: number;
}
interface World {
  readonly boxes: readonly Box[];
  /** Requests in progress, by client. */
  readonly pending: Readonly<Record<number, Progress>>;
}
interface Progress {
  readonly step: number;
  /** The container that the name meant; -1: none yet. */
  readonly at: number;
  /** The container's number of ends when the request signalled it. */
  readonly ends: number;
}

/** The result of a step for a container; an empty list: the step is impossible now. Several results: any of them. */
type Step = (box: Box, progress: Progress) => readonly (Partial<Box> & { readonly mark?: true })[];
const no: readonly never[] = [];
const same: readonly Partial<Box>[] = [{}];
const lives = ({ life }: Box): boolean => life === "running" || life === "paused";
const idle = ({ life }: Box): boolean => life === "created" || life === "exited";
const when =
  (holds: (box: Box) => boolean, then: Partial<Box> = {}): Step =>
  (box) =>
    holds(box) ? [then] : no;
const is =
  (...wanted: readonly Life[]): ((box: Box) => boolean) =>
  (box) =>
    wanted.includes(box.life);

/** The container has ended since the request signalled it. */
const hasEnded: Step = (box, { ends }) => (box.ends > ends || !lives(box) ? same : no);
const doom: Step = (box) => (lives(box) ? [{ dying: true, mark: true }] : no);
const doomIfAlive: Step = (box) => (lives(box) ? [{ dying: true, mark: true }] : [{ mark: true }]);
const gone = when(is("gone"));
const mark = when((box) => box.life !== "gone" && !box.removing, { removing: true });

/** A removal that begins later finds the container running. */
const startable: readonly Step[] = [when((box) => idle(box) && !box.removing), when(idle, { life: "running", dying: false })];

/** By verb and status: the steps after the name was looked up. Any of the alternatives is allowed. */
function waysOf({ verb, status, shown }: Request): readonly (readonly Step[])[] {
  if (status === 404)
    return verb === "rm" || verb === "rm -f"
      ? [[gone], [mark, gone]]
      : verb === "restart"
        ? [[gone], [doomIfAlive, hasEnded, gone]]
        : [[gone]];
  switch (`${verb} ${status}`) {
    case "start 204":
      return [startable];
    case "start 304":
      return [[when(is("running"))]];
    case "start 409":
      return [[when((box) => box.life === "paused" || box.removing)]];
    case "stop 204":
    case "kill 204":
      return [[doom, hasEnded]];
    case "stop 304":
    case "kill 409":
    case "term 409":
      return [[when(idle)]];
    case "term 204":
      return [[doom]];
    case "pause 204":
      return [[when(is("running"), { life: "paused" })]];
    case "pause 409":
      return [[when((box) => box.life !== "running")]];
    case "unpause 204":
      return [[when(is("paused"), { life: "running" })]];
    case "unpause 409":
      return [[when((box) => box.life !== "paused")]];
    case "restart 204":
      return [
        [doomIfAlive, hasEnded, ...startable],
        [doomIfAlive, hasEnded, when(is("running"))],
      ];
    case "restart 409":
      return [[doomIfAlive, hasEnded, when((box) => box.life === "paused" || box.removing)]];
    case "rm 204":
      return [[mark, when(idle, { life: "gone", removing: false })], [gone]];
    case "rm 409":
      return [[when((box) => box.removing)], [mark, when(lives, { removing: false })]];
    case "rm -f 204":
      return [[mark, doomIfAlive, hasEnded, when((box) => idle(box), { life: "gone", removing: false })], [gone]];
    case "rm -f 409":
      return [[when((box) => box.removing)]];
    case "exec 201":
      return [[when(is("running"))]];
    case "exec 409":
      return [[when((box) => box.life !== "running")]];
    case "wait 200":
      return [[() => [{ mark: true }], hasEnded]];
    case "inspect 200":
      return [[when((box) => box.life === shown || (shown === "removing" && box.removing))]];
    case "commit 201":
      return [
        [when((box) => box.life !== "gone")],
        [when(is("running"), { life: "paused" }), (box) => (box.life === "paused" ? [{ life: "running" }] : same)],
      ];
    case "commit 409":
      return [[when((box) => box.removing)]];
    default:
      return [[when((box) => box.life !== "gone")]];
  }
}

/** Describes the first answer that no order of steps explains; null: there is none. `short`: containers end by themselves. */
export function firstWrong(history: readonly Moment[], short: boolean): string | null {
  let worlds: ReadonlyMap<string, World> = new Map([["", { boxes: [], pending: {} }]]);
  const open = new Map<number, Request>();
  for (const [index, { at, request }] of history.entries()) {
    if (at === "begin") {
      open.set(request.client, request);
      worlds = collect([...worlds.values()].map((world) => withPending(world, request.client, { step: 0, at: -1, ends: 0 })));
      continue;
    }
    const reached = closure(worlds, open, short);
    const kept = [...reached.values()].flatMap((world) => {
      const progress = world.pending[request.client];
      // The request of a client that disconnected may have taken effect or not.
      if (request.status !== null && progress?.step !== done) return [];
      const { [request.client]: _, ...pending } = world.pending;
      return [{ ...world, pending }];
    });
    open.delete(request.client);
    worlds = collect(kept);
    if (worlds.size === 0) {
      const seen = new Set(
        [...reached.values()].map(({ boxes }) => boxes.map((box) => `${box.name}:${box.life}${box.dying ? "!" : ""}`).join(",")),
      );
      return `${request.verb} ${request.name} answered ${request.status} ${request.shown ?? ""} ${request.body ?? ""} (moment ${index}); possible were ${[...seen].join(" | ")}`;
    }
  }
  return null;
}

const done = 1000;

const withPending = (world: World, client: number, progress: Progress): World => ({
  ...world,
  pending: { ...world.pending, [client]: progress },
});

function collect(worlds: readonly World[]): ReadonlyMap<string, World> {
  return new Map(worlds.map((world) => [JSON.stringify(world), world]));
}

/** Every world that steps of requests in progress, and ends, can reach. */
function closure(from: ReadonlyMap<string, World>, open: ReadonlyMap<number, Request>, short: boolean): ReadonlyMap<string, World> {
  const found = new Map(from);
  const todo = [...from.values()];
  for (let world = todo.pop(); world !== undefined; world = todo.pop())
    for (const next of nexts(world, open, short)) {
      const key = JSON.stringify(next);
      if (found.has(key)) continue;
      found.set(key, next);
      todo.push(next);
    }
  return found;
}

function* nexts(world: World, open: ReadonlyMap<number, Request>, short: boolean): Generator<World> {
  for (const [at, box] of world.boxes.entries())
    if (lives(box) && (short || box.dying)) yield change(world, at, { life: "exited", dying: false, ends: box.ends + 1 });
  for (const [client, request] of open) {
    const progress = world.pending[client];
    if (progress === undefined || progress.step === done) continue;
    yield* advance(world, client, request, progress);
  }
}

function* advance(world: World, client: number, request: Request, progress: Progress): Generator<World> {
  const holder = world.boxes.findIndex((box) => box.life !== "gone" && box.name === request.name);
  const named = world.boxes[holder]?.life === "reserved" ? -1 : holder;
  const finished: Progress = { step: done, at: -1, ends: 0 };
  if (request.verb === "create") {
    if (request.status === 201 && progress.at >= 0) yield withPending(change(world, progress.at, { life: "created" }), client, finished);
    else if (request.status === 201 && holder < 0) {
      const box: Box = { name: request.name, life: "reserved", dying: false, removing: false, ends: 0 };
      yield withPending({ ...world, boxes: [...world.boxes, box] }, client, { step: 0, at: world.boxes.length, ends: 0 });
    } else if (request.status === 409 && holder >= 0) yield withPending(world, client, finished);
    return;
  }
  if (progress.at < 0) {
    if (named < 0) {
      if (request.status === 404) yield withPending(world, client, finished);
      return;
    }
    // The alternative is part of the step's number.
    for (const way of waysOf(request).keys())
      yield withPending(world, client, { step: way * 10, at: named, ends: world.boxes[named]?.ends ?? 0 });
    return;
  }
  const box = world.boxes[progress.at];
  if (box === undefined) return;
  if (request.verb === "rename" && request.status !== 404) {
    const taken = world.boxes.some((other, at) => at !== progress.at && other.life !== "gone" && other.name === request.to);
    if (request.status === 204 && !taken && box.life !== "gone")
      yield withPending(change(world, progress.at, { name: request.to ?? "" }), client, finished);
    if (request.status === 409 && taken) yield withPending(world, client, finished);
    if (request.status === 400 && box.name === request.to) yield withPending(world, client, finished);
    return;
  }
  const steps = waysOf(request)[Math.floor(progress.step / 10)] ?? [];
  const step = steps[progress.step % 10];
  for (const { mark: marks, ...changes } of step?.(box, progress) ?? []) {
    const last = (progress.step % 10) + 1 === steps.length;
    const next: Progress = last ? finished : { step: progress.step + 1, at: progress.at, ends: marks ? box.ends : progress.ends };
    yield withPending(change(world, progress.at, changes), client, next);
  }
}

function change(world: World, at: number, changes: Partial<Box>): World {
  return { ...world, boxes: world.boxes.map((box, index) => (index === at ? { ...box, ...changes } : box)) };
}
