/**
 * Every route of the API with every kind of wrong input: no answer is 500, each refusal is one line of JSON, none takes long, and nothing
 * is left behind. The routes and their query parameters are read from the source, so that new ones are tested, too.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine, home } from "../src/engine.ts";

const test = suite("fields and routes of the API", { timeout: 240_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly type: string;
}

interface Asked {
  readonly body?: string | Buffer | undefined;
  readonly type?: string;
  /** Milliseconds after which the client disconnects; the status is 0 then. */
  readonly leaves?: number;
}

function ask(own: Engine, method: string, path: string, { body, type = "application/json", leaves = 30_000 }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": type, "content-length": Buffer.byteLength(body) };
    const sent = request({ socketPath: own.socket, method, path, headers, agent: false }, (response) => {
      let text = "";
      const answer = (): void => resolve({ status: response.statusCode ?? 0, text, type: response.headers["content-type"] ?? "" });
      response.setEncoding("utf8").on("error", answer).on("end", answer);
      response.on("data", (part: string) => {
        text = (text + part).slice(0, 10_000);
      });
    });
    const timer = setTimeout(() => {
      resolve({ status: 0, text: "", type: "" });
      sent.destroy();
    }, leaves);
    sent.on("close", () => clearTimeout(timer)).on("error", (error) => (timer.hasRef() ? reject(error) : undefined));
    sent.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode ?? 0, text: "", type: "" });
    });
    sent.end(body);
  });
}

/** Sends raw bytes, and returns everything that is received until the connection closes or the first answer is complete. */
function raw(own: Engine, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(own.socket);
    socket
      .setEncoding("utf8")
      .on("error", () => {})
      .on("close", () => resolve(text));
    socket.on("data", (part: string) => {
      text += part;
      if (text.includes("}")) socket.destroy();
    });
    socket.write(bytes);
  });
}

async function world(t: Parameters<typeof engine>[0]): Promise<Engine> {
  const own = await engine(t);
  const tar = join(temporaryDirectory(t), "bb.tar");
  writeFileSync(tar, busyboxTar(t));
  await own.ok(["import", tar, "bb"]);
  return own;
}

/** The defect of an answer, or null. */
function defect(own: Engine, { status, text, type }: Answer): string | null {
  if (status === 500) return "500";
  if (status < 400) return null;
  if (type !== "application/json") return `the type ${type}`;
  if (text === "") return null;
  const { message } = JSON.parse(text) as { readonly message?: unknown };
  if (typeof message !== "string" || message === "") return "no message";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
  if (/[\x00-\x1f\x7f-\x9f]/.test(message)) return "control characters";
  return message.includes(own.root) || message.includes(own.state) ? "a path of the engine's" : null;
}

/** Numbers below `bound` from a seed: the same sequence each time (mulberry32). */
function random(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

interface Route {
  readonly method: string;
  readonly path: string;
  readonly query: readonly string[];
}

function routes(): readonly Route[] {
  const folder = join(home, "plugins/api/src/http/routes");
  return readdirSync(folder).flatMap((file) =>
    readFileSync(join(folder, file), "utf8")
      .split(/\bapp\s*\.(?=(?:get|post|put|delete|head)\b)/)
      .slice(1)
      .flatMap((part): readonly Route[] => {
        const [, method = "", path = ""] = /^(get|post|put|delete|head)(?:<[\s\S]*?>)?\(\s*"([^"]+)"/.exec(part) ?? [];
        const query = [...part.matchAll(/(?:text|flag|number|texts)\((?:request\.)?query,\s*"([^"]+)"/g)].map(([, key = ""]) => key);
        return path === ""
          ? []
          : [{ method: method.toUpperCase(), path, query: [...query, "filters", "platform", "t", "signal", "stdout"] }];
      }),
  );
}

const words = [
  ..."0 -1 1.5 1e400 NaN true x %00 %2e%2e%2f ..%2f.. a%0ab %1b[31m %ff % %zz %F0%9F%98%80 / .. : a:b:c bb box * ( [ SIGFOO ctrl-a,b".split(
    " ",
  ),
  ...[..."{ {} [] [1] null 7".split(" "), '{"a":1}', '{"a":[null]}', '{"label":["x"]}', '{"reference":["["]}', '{"type":["x"]}'].map(
    encodeURIComponent,
  ),
  ...['{"name":["(a*)*b$"]}', '{"__proto__":{"a":true}}', '{"until":["x"]}', '{"dangling":["x"]}', `[${"[".repeat(500)}`].map(
    encodeURIComponent,
  ),
  "",
  "99999999999999999999",
  "a".repeat(3000),
];
const bodies = [
  undefined,
  "",
  "{}",
  "null",
  "[]",
  "7",
  "{",
  "\0",
  "[".repeat(50_000),
  '{"Detach":1}',
  '{"Cmd":["true"],"Container":"box"}',
];
const types = ["application/json", "text/plain", "", "x/y/z;;;", "application/json; charset=utf-8"];

test.skipIf(reason, "every route, with queries, bodies and types of all kinds", async (t) => {
  const own = await world(t);
  await own.ok(["run", "-d", "--net", "none", "--name", "box", "bb", "sleep", "1000"]);
  const all = routes();
  assert.ok(all.length > 50, `only ${all.length} routes were found`);
  const seed = Number(process.env.TSBOX_TEST_SEED ?? 7);
  const pick = random(seed);
  const one = <T>(list: readonly T[]): T => list[pick(list.length)] as T;
  const wrong: string[] = [];
  for (let round = 0; round < 4; round += 1)
    await Promise.all(
      all.map(async ({ method, path, query }) => {
        // The container is the fixture, so requests that remove or end a container use another name.
        const name =
          method === "DELETE" || /\/(kill|stop|restart|rename|prune|update|start|pause)$/.test(path)
            ? one(words)
            : one(["box", "bb", one(words)]);
        const verb = path.endsWith("*") ? `/${one(["json", "history", "tag", "get", "push", ""])}` : "";
        const place = path.replace(/:\w+/, name).replace("*", name) + verb;
        const asked = `/v1.43${place}?${one(query)}=${one(words)}&${one(query)}=${one(words)}`;
        const body = method === "GET" || method === "HEAD" ? undefined : one(bodies);
        const type = one(types);
        const answer = await ask(own, method, asked, {
          body,
          type,
          leaves: /events|wait|attach|stats|logs|start/.test(path) ? 500 : 30_000,
        });
        const why = answer.status === 0 && !/events|wait|attach|stats|logs|start/.test(path) ? "no answer" : defect(own, answer);
        if (why !== null)
          wrong.push(`${why}: ${method} ${asked.slice(0, 200)} [${type}] ${body?.slice(0, 40)} ${answer.status} ${answer.text}`);
      }),
    );
  assert.equal(wrong, [], `seed ${seed}`);
  assert.is(await own.ok(["exec", "box", "echo", "well"]), "well\n");
});

const refused: readonly (readonly [field: string, value: unknown, message: RegExp])[] = [
  ["Cmd", ["a\0b"], /zero byte/],
  ["Cmd", ["\ud800"], /half a character/],
  ["Env", ["=x"], /invalid environment variable/],
  ["Env", [""], /invalid environment variable/],
  ["StopTimeout", 1.5, /whole number/],
  ["Hostname", "a".repeat(65), /64 at most/],
  ["Healthcheck", { Test: ["CMD", "true"], Retries: 1e300 }, /whole number/],
  ["HostConfig.ShmSize", -1, /SHM size/],
  ["HostConfig.Memory", 1e300, /whole number/],
  ["HostConfig.MemoryReservation", 7, /6MB/],
  ["HostConfig.MemorySwap", -2, /memoryswap/],
  ["HostConfig.NanoCpus", 1e15, /Range of CPUs/],
  ["HostConfig.CpusetCpus", "9999", /not available/],
  ["HostConfig.CpusetMems", "9999", /not available/],
  ["HostConfig.PidsLimit", 2 ** 40, /PIDs limit/],
  ["HostConfig.CpuRealtimePeriod", -1, /above 0/],
  ["HostConfig.IOMaximumIOps", 7, /QoS/],
  ["HostConfig.KernelMemoryTCP", "x", /not an integer/],
  ["HostConfig.Runtime", "nope", /no exec driver/],
  ["HostConfig.TsboxStorage", "nope", /no storage driver/],
  ["HostConfig.PidMode", "container:nope", /No such container/],
  ["HostConfig.ExtraHosts", ["x"], /add-host/],
  ["HostConfig.ExtraHosts", ["a:b\nc"], /add-host/],
  ["HostConfig.PortBindings", { a: null }, /port/],
  ["HostConfig.CgroupParent", "a\nb", /cgroup parent/],
  ["HostConfig.LogConfig", { Type: "json-file", Config: { nope: "1" } }, /unknown log opt/],
  ["HostConfig.LogConfig", { Type: "local", Config: { "max-file": "x" } }, /max-file/],
  ["HostConfig.LogConfig", { Type: "local", Config: { "max-size": "9".repeat(99) } }, /max-size/],
  ["HostConfig.LogConfig", { Type: "local", Config: { "labels-regex": "(" } }, /regular expression/],
  ["HostConfig.Binds", Array.from({ length: 1001 }, (_, at) => `many${at}:/m/${at}`), /too many mounts/],
  ["HostConfig.Dns", Array(10_001).fill("1.1.1.1"), /10000 at most/],
  ["NetworkingConfig.EndpointsConfig", { bridge: {}, nope: {} }, /network nope not found/],
];

/** Values that only a start can reject. */
const unstartable: readonly (readonly [field: string, value: unknown, message: RegExp])[] = [
  ["Cmd", ["a".repeat(200_000)], /argument list too long|executable file not found|name too long/i],
  ["Cmd", [""], /executable file not found/],
  ["HostConfig.MaskedPaths", ["a".repeat(200_000)], /too long/],
  ["HostConfig.Devices", [{ PathOnHost: "/proc", PathInContainer: "/x" }], /give the devices one by one|not a device node/],
  ["HostConfig.BlkioWeightDevice", [{ Path: "a".repeat(5000), Weight: 100 }], /no block device/],
  ["HostConfig.Binds", ["/etc/passwd/x:/x"], /mount source path/],
  ["HostConfig.Sysctls", { "net.nope": "1" }, /there is no sysctl net.nope/],
  ["HostConfig.Sysctls", { "kernel.shmmax": "x" }, /takes no value/],
];

test.skipIf(reason, "what a container can't have is refused at its creation, or at its start", async (t) => {
  const own = await world(t);
  const body = (field: string, value: unknown): string => {
    const [outer = "", inner] = field.split(".");
    const config =
      inner === undefined
        ? { [outer]: value }
        : { [outer]: { ...(outer === "HostConfig" ? { NetworkMode: "none" } : {}), [inner]: value } };
    return JSON.stringify({ Image: "bb", Cmd: ["true"], HostConfig: { NetworkMode: "none" }, ...config });
  };
  for (const [field, value, message] of refused) {
    const answer = await ask(own, "POST", "/containers/create", { body: body(field, value) });
    assert.is(answer.status, 400, `${field}: ${answer.status} ${answer.text.slice(0, 300)}`);
    assert.match(answer.text, message);
    assert.is(defect(own, answer), null);
  }
  assert.is(await own.ok(["volume", "ls", "-q"]), "");
  for (const [field, value, message] of unstartable) {
    const made = await ask(own, "POST", "/containers/create", { body: body(field, value) });
    assert.is(made.status, 201, `${field}: ${made.text}`);
    const { Id } = JSON.parse(made.text) as { readonly Id: string };
    const answer = await ask(own, "POST", `/containers/${Id}/start`);
    assert.is(answer.status, 400, `${field}: ${answer.status} ${answer.text.slice(0, 300)}`);
    assert.match(answer.text, message);
    assert.is(defect(own, answer), null);
    assert.is((await ask(own, "DELETE", `/containers/${Id}`)).status, 204);
  }
  assert.is(await own.ok(["ps", "-aq"]), "");
  const network = (config: object): Promise<Answer> => ask(own, "POST", "/networks/create", { body: JSON.stringify(config) });
  assert.is((await network({ Name: "default" })).status, 403);
  assert.is((await network({ Name: "second", Driver: "host" })).status, 403);
  assert.is((await network({ Name: "second", Scope: "swarm" })).status, 403);
  assert.is((await network({ Name: "second", IPAM: { Driver: "nope" } })).status, 400);
  assert.is((await ask(own, "POST", "/containers/create?name=%2f", { body: body("Cmd", ["true"]) })).status, 400);
});

test.skipIf(reason, "the edges of HTTP: types of bodies, long heads, paths with a host, patterns that take for ever", async (t) => {
  const own = await world(t);
  const body = JSON.stringify({ Image: "bb", Cmd: ["true"] });
  for (const type of ["text/plain", "", "x/y/z;;;"]) {
    const answer = await ask(own, "POST", "/containers/create", { body, type });
    assert.is(answer.status, 400, type);
    assert.match(answer.text, /unsupported Content-Type/);
  }
  // A route without a body ignores its type, and a route that takes an archive accepts any type.
  assert.is((await ask(own, "POST", "/containers/prune", { body: "x", type: "text/plain" })).status, 200);
  assert.match((await ask(own, "POST", "/images/load", { body: "no archive", type: "application/json" })).text, /archive/);
  const head = (line: string, more = ""): string => `${line} HTTP/1.1\r\nHost: d\r\n${more}\r\n`;
  assert.match(await raw(own, head("GET /_ping", `X: ${"a".repeat(100_000)}\r\n`).replace("/_ping", "/info")), /^HTTP\/1.1 200 /);
  assert.match(
    await raw(own, head("GET /_ping", `X: ${"a".repeat(400_000)}\r\n`)),
    /^HTTP\/1.1 431 [\s\S]*"message":"the request's head has more than/,
  );
  assert.match(await raw(own, head("GET /a b")), /^HTTP\/1.1 400 [\s\S]*"message":"this is no valid HTTP request/);
  assert.match(await raw(own, head("GET http://docker/v1.43/info")), /^HTTP\/1.1 200 /);
  assert.match(await raw(own, head(`GET /containers/${"a".repeat(2000)}/json`)), /^HTTP\/1.1 404 [\s\S]*\{"message":"no such name/);
  // The daemon has one thread, so such a pattern would block all clients.
  await own.ok(["create", "--net", "none", "--name", "a".repeat(60), "bb", "true"]);
  const filters = encodeURIComponent('{"name":["(a*)*b$"]}');
  assert.is((await ask(own, "GET", `/containers/json?all=1&filters=${filters}`)).status, 400);
  const exec = await ask(own, "POST", "/exec/none/start", { body: '{"Detach":1}' });
  assert.is(exec.status, 400);
});
