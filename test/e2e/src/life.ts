/** Random verbs on one container from four concurrent clients, judged by the model of `life-model.ts`. */
import { Agent, request as httpRequest } from "node:http";
import * as assert from "uvu/assert";
import { type Engine, until } from "./engine.ts";
import { documented, firstWrong, type Moment, type Request, type Verb } from "./life-model.ts";

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** One engine's API over its socket. */
export class Api {
  readonly #socket: string;
  readonly #agent: Agent = new Agent({ keepAlive: false });

  constructor(own: Engine) {
    this.#socket = own.socket;
  }

  /** Null: no answer within `timeout` milliseconds; the client has disconnected. */
  ask(method: string, path: string, body?: unknown, timeout = 60_000): Promise<Answer | null> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
      const asked = httpRequest({ socketPath: this.#socket, method, path, headers, agent: this.#agent }, (response) => {
        let got = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => {
          got = (got + part).slice(0, 100_000);
        });
        response.on("end", () => {
          clearTimeout(timer);
          resolve({ status: response.statusCode ?? 0, body: got });
        });
        response.on("error", () => {
          clearTimeout(timer);
          resolve(null);
        });
      });
      const timer = setTimeout(() => {
        asked.destroy();
        resolve(null);
      }, timeout);
      asked.on("error", (error) => {
        clearTimeout(timer);
        if (asked.destroyed) resolve(null);
        else reject(error);
      });
      asked.end(text);
    });
  }
}

/** Mulberry32: small, and the same on every host. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const verbs: readonly Verb[] = [
  ...["create", "start", "start", "start", "stop", "kill", "kill", "term", "pause", "unpause", "unpause", "restart"],
  ...["rm", "rm -f", "exec", "exec", "wait", "inspect", "inspect", "rename", "commit", "update", "copy", "diff"],
] as readonly Verb[];

const programs: readonly (readonly string[])[] = [
  ["sleep", "1000"],
  ["sh", "-c", "trap 'exit 3' TERM; sleep 1000 & wait"],
  ["sh", "-c", "sleep 0.03"],
  ["true"],
];

/** Long enough for requests to meet ends and starts in progress. */
const requests = 7;
const clients = 4;

/** Runs one sequence. Throws when an answer is wrong, or something is left. */
export async function sequence(own: Engine, api: Api, seed: number, image: string): Promise<void> {
  const random = randomOf(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const program = pick(programs);
  // A container that restarts or is removed by itself has more possibilities than the model, so its answers are only compared with the
  // documented ones.
  const kind = pick(["plain", "plain", "plain", "always", "removed"] as const);
  const hostConfig = {
    NetworkMode: "none",
    ...(kind === "always" ? { RestartPolicy: { Name: "always" } } : {}),
    ...(kind === "removed" ? { AutoRemove: true } : {}),
  };
  const names = [`life-${seed}`, `life-${seed}-b`];
  const [first = ""] = names;
  const history: Moment[] = [];
  const one = async (client: number, verb: Verb, name: string, to: string): Promise<void> => {
    const request: Request = { client, verb, name, to, status: null };
    history.push({ at: "begin", request });
    const answer = await perform(api, request, { Image: image, Cmd: program, HostConfig: hostConfig });
    request.status = answer?.status ?? null;
    request.body = (answer?.body ?? "").slice(0, 200);
    if (verb === "inspect" && answer?.status === 200) request.shown = /"State":\{"Status":"(\w+)"/.exec(answer.body)?.[1] ?? "";
    history.push({ at: "end", request });
  };
  const plans = Array.from({ length: clients }, () =>
    Array.from({ length: requests }, () => ({ verb: pick(verbs), name: random() < 0.85 ? first : (names[1] ?? ""), to: pick(names) })),
  );
  await one(0, "create", first, "");
  await Promise.all(
    plans.map(async (plan, client) => {
      for (const { verb, name, to } of plan) await one(client, verb, verb === "create" ? first : name, to);
    }),
  );
  const said = (): string =>
    history
      .map(
        ({ at, request }) =>
          `${at === "begin" ? ">" : "<"}${request.client} ${request.verb} ${request.name.slice(5)} ${at === "end" ? request.status : ""} ${at === "end" ? (request.shown ?? "") : ""}`,
      )
      .join("\n");
  for (const { at, request } of history)
    if (at === "end" && request.status !== null && !documented[request.verb].includes(request.status))
      throw new Error(`seed ${seed}, ${kind} ${program.join(" ")}: ${request.verb} answered ${request.status} ${request.body}\n${said()}`);
  const wrong = kind === "plain" ? firstWrong(history, program !== programs[0] && program !== programs[1]) : null;
  if (wrong !== null) throw new Error(`seed ${seed}, ${kind} ${program.join(" ")}: ${wrong}\n${said()}`);
  for (const name of names) {
    const gone = await api.ask("DELETE", `/containers/${name}?force=1`);
    assert.ok(
      gone !== null && [204, 404].includes(gone.status),
      `seed ${seed}: rm -f at the end: ${gone?.status} ${gone?.body}\n${said()}`,
    );
  }
  const left = await api.ask("GET", `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify({ name: [first] }))}`);
  assert.is(left?.body, "[]\n".trim(), `seed ${seed}: a record is left\n${said()}`);
  await until(
    () => own.shims().length === 0,
    () => `seed ${seed}: the end of shims that no list shows\n${said()}`,
    15_000,
  );
}

async function perform(api: Api, { verb, name, to }: Request, body: unknown): Promise<Answer | null> {
  const at = `/containers/${name}`;
  switch (verb) {
    case "create":
      return api.ask("POST", `/containers/create?name=${name}`, body);
    case "start":
    case "pause":
    case "unpause":
      return api.ask("POST", `${at}/${verb}`);
    case "stop":
    case "restart":
      return api.ask("POST", `${at}/${verb}?t=${name.endsWith("-b") ? 1 : 0}`);
    case "kill":
      return api.ask("POST", `${at}/kill`);
    case "term":
      return api.ask("POST", `${at}/kill?signal=TERM`);
    case "rm":
      return api.ask("DELETE", at);
    case "rm -f":
      return api.ask("DELETE", `${at}?force=1`);
    case "wait":
      return api.ask("POST", `${at}/wait`, undefined, 300);
    case "inspect":
      return api.ask("GET", `${at}/json`);
    case "rename":
      return api.ask("POST", `${at}/rename?name=${to}`);
    case "commit":
      return api.ask("POST", `/commit?container=${name}`);
    case "update":
      return api.ask("POST", `${at}/update`, { PidsLimit: 100 });
    case "copy":
      return api.ask("GET", `${at}/archive?path=/etc/passwd`);
    case "diff":
      return api.ask("GET", `${at}/changes`);
    case "exec":
      return exec(api, at);
  }
}

/** An exec that was created may find a container that has ended since. */
async function exec(api: Api, at: string): Promise<Answer | null> {
  const made = await api.ask("POST", `${at}/exec`, { Cmd: ["true"] });
  if (made?.status !== 201) return made;
  const { Id } = JSON.parse(made.body) as { Id: string };
  const started = await api.ask("POST", `/exec/${Id}/start`, { Detach: true });
  return started === null || [200, 404, 409].includes(started.status) ? made : started;
}
