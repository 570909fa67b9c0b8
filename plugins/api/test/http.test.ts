/** The HTTP behaviour that Docker's clients need, with verbs of the test. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { suite } from "@tsbox/harness";
import { type Call, errorTable, fail, type Json } from "@tsbox/kernel";
import { filters, flag, number } from "../src/http/query.ts";
import { versionOf } from "../src/http/versions.ts";
import { container, makeShim, makeWorld, raw, text } from "./http-world.ts";

const test = suite("api over http");

test("paths with each version that is spoken, and without one", () => {
  assert.deepEqual(versionOf("/v1.24/info?x=1"), { path: "/info?x=1", version: "1.24" });
  assert.deepEqual(versionOf("/info"), { path: "/info", version: "1.51" });
  assert.deepEqual(versionOf("/v1.51/x"), { path: "/x", version: "1.51" });
  for (const url of ["/v1.52/info", "/v2.0/info", "/v1.999/info"])
    assert.match((versionOf(url) as { refused: string }).refused, /too new/, url);
  assert.match((versionOf("/v1.23/info") as { refused: string }).refused, /too old/);
});

test("query values and filters of both ages", () => {
  for (const [value, meant] of [
    ["1", true],
    ["true", true],
    ["yes", true],
    ["0", false],
    ["False", false],
    ["", false],
  ] as const)
    assert.equal(flag({ a: value }, "a"), meant, value);
  assert.equal(number({ t: "-1" }, "t"), -1);
  assert.throws(() => number({ t: "1x" }, "t"), /whole number/);
  const wanted = { label: ["a=b", "c"], status: ["running"] };
  assert.deepEqual(filters({ filters: '{"label":{"a=b":true,"c":true},"status":{"running":true}}' }), wanted);
  assert.deepEqual(filters({ filters: '{"label":["a=b","c"],"status":["running"]}' }), wanted);
  assert.deepEqual(filters({ filters: "" }), {});
  for (const bad of ["{", "[]", '{"a":1}', '"x"']) assert.throws(() => filters({ filters: bad }), /invalid filters/, bad);
});

test("_ping names the engine; HEAD has no length", async (t) => {
  const { ask } = await makeWorld(t, {});
  const { status, headers, body } = await ask("GET", "/v1.30/_ping");
  assert.equal(status, 200);
  assert.equal(body, "OK");
  assert.equal(headers["api-version"], "1.51");
  assert.equal(headers.ostype, "linux");
  assert.equal(headers["builder-version"], "1");
  assert.equal(headers.swarm, "inactive");
  const head = await ask("HEAD", "/_ping");
  assert.equal(head.headers["content-length"], "0");
  assert.equal(head.headers["api-version"], "1.51");
});

test("failures are a status of the table and a message, typed as clients want it", async (t) => {
  let thrown: Error = new Error();
  const { ask } = await makeWorld(t, {
    info: async () => {
      throw thrown;
    },
  });
  for (const [code, { http }] of Object.entries(errorTable)) {
    thrown = fail(code as keyof typeof errorTable, `it is ${code}`);
    const { status, body, headers } = await ask("GET", "/info");
    assert.equal(status, http, code);
    assert.deepEqual(JSON.parse(body), { message: `it is ${code}` });
    assert.equal(headers["content-type"], "application/json");
  }
  thrown = new TypeError("a bug");
  assert.equal((await ask("GET", "/info")).status, 500);
  assert.deepEqual(JSON.parse((await ask("GET", "/nothing")).body), { message: "page not found" });
  assert.equal((await ask("GET", "/v1.99/info")).status, 400);
  assert.equal((await ask("GET", "/swarm")).status, 503);
});

test("already so is 304, done is 204", async (t) => {
  let first = true;
  const once = (): boolean => {
    const was = first;
    first = false;
    return was;
  };
  const { ask } = await makeWorld(t, {
    containerStart: async () => ({ started: once(), timings: [], warnings: [] }),
    containerStop: async (_call, id, options) => {
      assert.deepEqual([id, options], ["c/1", { timeout: -1, signal: "INT" }]);
      return { stopped: false };
    },
  });
  // Clients declare JSON but send no body.
  const headers = { "content-type": "application/json" };
  assert.equal((await ask("POST", "/v1.40/containers/c1/start", { headers })).status, 204);
  assert.equal((await ask("POST", "/v1.40/containers/c1/start", { headers })).status, 304);
  assert.equal((await ask("POST", "/containers/c%2F1/stop?t=-1&signal=INT")).status, 304);
});

test("create takes the body as it is; bad bodies are 400", async (t) => {
  const seen: unknown[] = [];
  const { ask } = await makeWorld(t, {
    containerCreate: async (_call, body, options) => {
      seen.push(body, options);
      return { Id: "x", Warnings: [] };
    },
  });
  const headers = { "content-type": "application/json" };
  const answer = await ask("POST", "/containers/create?name=/n&platform=linux%2Farm64", { body: '{"Image":"a","Cmd":null}', headers });
  assert.deepEqual([answer.status, JSON.parse(answer.body)], [201, { Id: "x", Warnings: [] }]);
  assert.deepEqual(seen, [
    { Image: "a", Cmd: null },
    { name: "n", platform: "linux/arm64" },
  ]);
  for (const body of ["{", "", "[]", "3"]) assert.equal((await ask("POST", "/containers/create", { body, headers })).status, 400, body);
});

test("names of images keep their slashes", async (t) => {
  const seen: unknown[] = [];
  const { ask } = await makeWorld(t, {
    imageInspect: async (_call, name, options) => {
      seen.push([name, options?.platform]);
      return {};
    },
    imageTag: async (_call, ...rest) => void seen.push(rest),
    imageRemove: async (_call, name, options) => {
      seen.push([name, options]);
      return [];
    },
  });
  await ask("GET", "/images/localhost:5000/a/b:1/json");
  await ask("GET", `/images/a%2Fb:1/json?platform=${encodeURIComponent('{"os":"linux","architecture":"arm64"}')}`);
  assert.equal((await ask("POST", "/images/a/b/tag?repo=x/y&tag=2")).status, 201);
  await ask("DELETE", "/images/a/b:1?force=1&platforms=linux/arm64");
  assert.deepEqual(seen, [
    ["localhost:5000/a/b:1", undefined],
    ["a/b:1", "linux/arm64"],
    ["a/b", "x/y", "2"],
    ["a/b:1", { force: true, noprune: false, platforms: ["linux/arm64"] }],
  ]);
  assert.equal((await ask("GET", "/images/a/b")).status, 404);
});

async function* lines(...all: readonly (Json | Error)[]): AsyncGenerator<Json> {
  for (const line of all) {
    if (line instanceof Error) throw line;
    yield line;
  }
}

test("a pull fails with a status before its first line, in the stream after it", async (t) => {
  let auth: unknown;
  let script: readonly (Json | Error)[] = [];
  const { ask } = await makeWorld(t, {
    imagePull: async (_call, name, options) => {
      auth = [name, options];
      return lines(...script);
    },
  });
  const headers = { "x-registry-auth": Buffer.from('{"username":"ü","password":"p?>","email":null}').toString("base64url") };
  script = [{ status: "a" }, fail("DataLoss", "wrong digest")];
  const answer = await ask("POST", "/images/create?fromImage=a/b&tag=1", { headers });
  assert.equal(answer.status, 200);
  assert.deepEqual(
    answer.body
      .trim()
      .split("\r\n")
      .map((line) => JSON.parse(line) as Json),
    [{ status: "a" }, { errorDetail: { message: "wrong digest" }, error: "wrong digest" }],
  );
  assert.deepEqual(auth, ["a/b", { tag: "1", platform: undefined, auth: { username: "ü", password: "p?>" } }]);
  script = [fail("NotFound", "manifest unknown")];
  assert.equal((await ask("POST", "/images/create?fromImage=a", { headers: { "x-registry-auth": "e30=" } })).status, 404);
  assert.equal((await ask("POST", "/images/create?fromImage=a", { headers: { "x-registry-auth": "%%%" } })).status, 400);
});

test("an archive is a file while it is loaded, and gone after it", async (t) => {
  const body = Buffer.alloc(3_000_000, 7);
  let size = 0;
  const { ask, directory } = await makeWorld(t, {
    imageLoad: async (_call, path) => {
      size = readFileSync(path).length;
      return lines({ stream: "Loaded image: a\n" });
    },
  });
  const answer = await ask("POST", "/images/load?quiet=1", { body, headers: { "content-type": "application/x-tar" } });
  assert.equal(answer.body, '{"stream":"Loaded image: a\\n"}\r\n');
  assert.equal(size, body.length);
  assert.deepEqual(readdirSync(`${directory}/uploads`), []);
});

test("wait's head comes at once, its body at the end; what is not there is 404", async (t) => {
  const ended = Promise.withResolvers<{ StatusCode: number; Error: null }>();
  const { open, ask } = await makeWorld(t, {
    containerInspect: async (_call, id) => {
      if (id !== "c1") throw fail("NotFound", `No such container: ${id}`);
      return {};
    },
    containerWait: () => ended.promise,
  });
  const response = await open("POST", "/containers/c1/wait?condition=next-exit");
  assert.equal(response.statusCode, 200);
  ended.resolve({ StatusCode: 3, Error: null });
  assert.deepEqual(JSON.parse(await text(response)), { StatusCode: 3, Error: null });
  assert.equal((await ask("POST", "/containers/c2/wait")).status, 404);
  assert.equal((await ask("POST", "/containers/c1/wait?condition=never")).status, 400);
});

test("a follower that disconnects cancels the call", async (t) => {
  const gone = Promise.withResolvers<unknown>();
  const { open } = await makeWorld(t, {
    events: async (call: Call) => {
      call.signal.addEventListener("abort", () => gone.resolve(call.signal.reason));
      return (async function* () {
        yield { Type: "container" };
        await gone.promise;
      })();
    },
  });
  const response = await open("GET", "/events");
  response.on("error", () => {});
  response.once("data", () => response.destroy());
  assert.match(String(await gone.promise), /the client is gone/);
});

const upgrade = (path: string, more = ""): string => `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${more}`;

test("attach hands the connection over: stdin that came early, half-close, output after it", async (t) => {
  const seen: unknown[] = [];
  const path = await makeShim(t, (wishes, socket) => {
    seen.push(wishes);
    text(socket).then(
      (input) => {
        seen.push(input);
        socket.end("after the end of input");
      },
      () => {},
    );
  });
  const { socket } = await makeWorld(t, {}, container(path));
  const client = raw(t, socket);
  // Body and stdin are in the packet of the head: Node returns both as one.
  client.end(`${upgrade("/v1.44/containers/c1/attach?stream=1&stdin=1&stdout=1", "Content-Length: 4\r\n")}\r\nnullearly stdin`);
  const [head = "", body] = (await text(client)).split("\r\n\r\n");
  assert.match(
    head,
    /^HTTP\/1\.1 101 UPGRADED\r\nContent-Type: application\/vnd\.docker\.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp$/,
  );
  assert.equal(body, "after the end of input");
  assert.deepEqual(seen, [{ op: "attach", stdin: true, stdout: true, stderr: false, framed: true }, "early stdin"]);
});

test("attach with the log of a client that reads nothing and leaves: no more is read than fits, and the shim is left", async (t) => {
  const left = Promise.withResolvers<void>();
  const path = await makeShim(t, (_wishes, socket) => socket.once("end", () => left.resolve()).resume());
  let read = 0;
  const stalled = Promise.withResolvers<void>();
  const api = {
    containerLogs: async () => ({
      terminal: false,
      frames: (async function* () {
        for (; read < 1000; read += 1) {
          // As long as the socket accepts data, the next part is requested within a second.
          const timer = setTimeout(() => stalled.resolve(), 1000);
          yield Buffer.alloc(1 << 20);
          clearTimeout(timer);
        }
        stalled.resolve();
      })(),
    }),
  };
  const { socket } = await makeWorld(t, api, container(path));
  const client = raw(t, socket);
  client.pause().write(`${upgrade("/v1.44/containers/c1/attach?stream=1&logs=1&stdout=1")}\r\n`);
  await stalled.promise;
  assert.ok(read < 50, `${read} MiB of the log are in memory`);
  client.destroy();
  await left.promise;
});

test("attach without an upgrade answers the log, and then what comes", async (t) => {
  const path = await makeShim(t, (_wishes, socket) => socket.end("now"));
  const api = {
    containerLogs: async () => ({
      terminal: false,
      frames: (async function* () {
        yield Buffer.from("before ");
      })(),
    }),
  };
  const { open } = await makeWorld(t, api, container(path));
  // An upgrade to any protocol other than tcp is ignored.
  const response = await open("POST", "/v1.44/containers/c1/attach?stream=1&logs=1&stdout=1", { connection: "Upgrade", upgrade: "h2c" });
  assert.equal(response.statusCode, 200);
  assert.equal(await text(response), "before now");
});

test("a terminal is bare, old versions know no other type; without stdin the end of the client's input is ignored", async (t) => {
  const path = await makeShim(t, (wishes, socket) => {
    socket.end(JSON.stringify(wishes));
  });
  for (const [terminal, version] of [
    [true, "1.44"],
    [false, "1.41"],
  ] as const) {
    const { socket } = await makeWorld(t, {}, container(path, terminal));
    const client = raw(t, socket);
    client.end(`${upgrade(`/v${version}/containers/c1/attach?stream=1&stdout=1&stderr=1`)}\r\n`);
    const [head = "", body = ""] = (await text(client)).split("\r\n\r\n");
    assert.match(head, /application\/vnd\.docker\.raw-stream/);
    assert.deepEqual(JSON.parse(body), { op: "attach", stdin: false, stdout: true, stderr: true, framed: !terminal });
  }
});

test("a megabyte both ways arrives whole", async (t) => {
  const path = await makeShim(t, (_wishes, socket) => socket.pipe(socket));
  const { socket } = await makeWorld(t, {}, container(path));
  const client = raw(t, socket);
  const bytes = Buffer.from(Array.from({ length: 1 << 20 }, (_, at) => at % 253));
  client.write(`${upgrade("/containers/c1/attach?stream=1&stdin=1&stdout=1")}\r\n`);
  client.end(bytes);
  const parts: Uint8Array[] = [];
  for await (const part of client as AsyncIterable<Uint8Array>) parts.push(part);
  const whole = Buffer.concat(parts);
  assert.ok(whole.subarray(whole.indexOf("\r\n\r\n") + 4).equals(bytes));
});

test("what can't be attached to is a status and a message", async (t) => {
  const path = await makeShim(t, () => {}, false);
  const { socket } = await makeWorld(t, {}, container(path));
  for (const [target, status] of [
    ["/containers/c1/attach?stream=1", 409],
    ["/containers/c2/attach?stream=1", 404],
    ["/v1.99/containers/c1/attach?stream=1", 400],
  ] as const) {
    const client = raw(t, socket);
    client.end(`${upgrade(target)}\r\n`);
    const answer = await text(client);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.match(answer, /\{"message":/);
  }
});

test("an upgrade that is not for attach is an ordinary request; attach without one carries output", async (t) => {
  const path = await makeShim(t, (_wishes, socket) => {
    socket.end("output");
  });
  const { ask } = await makeWorld(t, { info: async () => ({ Name: "x" }) }, container(path));
  const h2c = { connection: "Upgrade, HTTP2-Settings", upgrade: "h2c" };
  assert.deepEqual(JSON.parse((await ask("GET", "/info", { headers: h2c })).body), { Name: "x" });
  const { status, body, headers } = await ask("POST", "/containers/c1/attach?stream=1&stdout=1");
  assert.deepEqual([status, body, headers["content-type"]], [200, "output", "application/vnd.docker.raw-stream"]);
});

test("exec start: the body is read, the process's stdio comes after the 101, and the end waits for the exit code", async (t) => {
  let asked: unknown;
  const shim = await makeShim(t, (wishes, socket) => {
    asked = wishes;
    socket.on("data", (data) => {
      socket.write(`got ${data}`);
      socket.end();
    });
  });
  const started: unknown[] = [];
  const { promise: ended, resolve: end } = Promise.withResolvers<number>();
  const exec = {
    id: "e1",
    container: "c1",
    status: "created",
    config: { terminal: true, attach: { stdin: true, stdout: true, stderr: true }, detachKeys: [1] },
  };
  const { socket } = await makeWorld(
    t,
    {},
    {
      execGet: async () => exec as never,
      attachSocket: async () => shim,
      execStart: async (_call: Call, _id: unknown, options: unknown) => {
        started.push(options);
        return [];
      },
      execWait: () => ended,
    },
  );
  const client = raw(t, socket);
  let answer = "";
  let over = false;
  client.setEncoding("utf8").on("data", (part) => (answer += part));
  client.on("end", () => (over = true));
  const body = JSON.stringify({ Detach: false, Tty: true, ConsoleSize: [10, 20] });
  client.write(
    `POST /v1.51/exec/e1/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: ${body.length}\r\n\r\n${body}first`,
  );
  await until(() => answer.includes("got first"));
  assert.match(answer, /^HTTP\/1\.1 101 UPGRADED\r\nContent-Type: application\/vnd\.docker\.raw-stream\r\n/);
  assert.deepEqual(asked, { op: "attach", stdin: true, stdout: true, stderr: true, framed: false, exec: "e1", detachKeys: [1] });
  assert.deepEqual(started, [{ size: { rows: 10, columns: 20 } }]);
  assert.equal(over, false);
  end(0);
  await until(() => over);
});

test("exec start: a process that was over before its start was answered ends the connection", async (t) => {
  const over = Promise.withResolvers<void>();
  const shim = await makeShim(t, (_wishes, socket) => {
    socket.end();
    socket.resume();
    // The server's side has ended when this side has.
    socket.once("end", () => over.resolve());
    setImmediate(() => over.resolve());
  });
  const { socket } = await makeWorld(
    t,
    {},
    {
      execGet: async () =>
        ({
          id: "e1",
          container: "c1",
          status: "created",
          config: { terminal: true, attach: { stdin: true, stdout: true, stderr: true }, detachKeys: null },
        }) as never,
      attachSocket: async () => shim,
      execStart: async () => {
        await over.promise;
        for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        return [];
      },
      execWait: async () => 0,
    },
  );
  const client = raw(t, socket);
  let ended = false;
  client.resume().on("end", () => (ended = true));
  const body = JSON.stringify({ Detach: false, Tty: true });
  client.write(`${upgrade("/v1.51/exec/e1/start", `Content-Length: ${body.length}\r\n`)}\r\n${body}`);
  await until(() => ended);
});

test("a server that ends takes the connections that are hijacked along", async (t) => {
  let attached = false;
  const path = await makeShim(t, () => {
    attached = true;
  });
  const { socket, close } = await makeWorld(t, {}, container(path));
  const client = raw(t, socket);
  let ended = false;
  client.resume().on("end", () => (ended = true));
  client.write(`${upgrade("/containers/c1/attach?stream=1&stdin=1&stdout=1")}\r\n`);
  await until(() => attached);
  await close();
  await until(() => ended);
});

test("exec start: what was started already is refused before the connection is taken; a command that can't be started says so in the stream", async (t) => {
  let status = "running";
  const shim = await makeShim(t, () => {});
  const { ask } = await makeWorld(
    t,
    {},
    {
      execGet: async () =>
        ({
          id: "e1",
          container: "c1",
          status,
          config: { terminal: false, attach: { stdin: false, stdout: true, stderr: true }, detachKeys: null },
        }) as never,
      attachSocket: async () => shim,
      execStart: async () => {
        throw fail("CommandNotFound", 'exec "x": executable file not found in $PATH', { stage: "exec" });
      },
    },
  );
  const start = (): ReturnType<typeof ask> =>
    ask("POST", "/exec/e1/start", { body: '{"Detach":false}', headers: { "content-type": "application/json" } });
  assert.equal((await start()).status, 409);
  status = "created";
  const answer = await start();
  assert.equal(answer.status, 200);
  assert.equal(answer.body.charCodeAt(0), 1);
  assert.match(answer.body.slice(8), /^OCI runtime exec failed: .*: exec: "x": executable file not found in \$PATH: unknown\r\n$/);
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
