/** The commands over HTTP: frames that are split anywhere, failures that keep their meaning, and the program itself with a fake engine. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { createCall, isTsboxError, silentLog } from "@tsbox/kernel";
import { remoteApi } from "../src/remote/api.ts";
import { findEndpoint, parseEndpoint } from "../src/remote/endpoint.ts";
import { demultiplex } from "../src/remote/frames.ts";
import { Remote } from "../src/remote/http.ts";

const test = suite("cli over http");
const call = createCall(silentLog);
const program = fileURLToPath(new URL("../src/portable.ts", import.meta.url));

function frame(kind: number, text: string): Buffer {
  const header = Buffer.from([kind, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

test("frames come whole however they are cut", async () => {
  const bytes = Buffer.concat([frame(1, "one\n"), frame(2, "two\n"), frame(1, ""), frame(1, "three\n")]);
  for (const size of [1, 3, 8, 9, 1000]) {
    const got = { stdout: "", stderr: "" };
    const cut = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
    for await (const { stream, bytes: part } of demultiplex(
      (async function* () {
        yield* cut;
      })(),
    ))
      got[stream] += Buffer.from(part).toString();
    assert.deepEqual(got, { stdout: "one\nthree\n", stderr: "two\n" }, String(size));
  }
  await assert.rejects(async () => {
    for await (const _ of demultiplex(
      (async function* () {
        yield frame(3, "it broke");
      })(),
    ));
  }, /it broke/);
});

test("the engine is where the flag, TSBOX_HOST or DOCKER_HOST says", () => {
  const shown = (argv: readonly string[], environment = {}): string => findEndpoint(argv, environment).shown;
  assert.equal(shown(["ps"]), "unix:///run/tsbox/tsbox.sock");
  assert.equal(shown(["ps", "-H", "unix:///x"], { DOCKER_HOST: "tcp://d:1" }), "tcp://d:1");
  assert.equal(shown(["ps"], { DOCKER_HOST: "tcp://d:1", TSBOX_HOST: "tcp://t:1" }), "tcp://t:1");
  for (const argv of [
    ["-H", "unix:///x", "ps"],
    ["--host=unix:///x", "ps"],
    ["-Hunix:///x"],
    ["--log-level", "info", "--host", "unix:///x"],
  ])
    assert.equal(shown(argv, { TSBOX_HOST: "tcp://t:1" }), "unix:///x", argv.join(" "));
  assert.deepEqual(parseEndpoint("tcp://[::1]", {}).options, { host: "::1", port: 2375 });
  for (const host of ["ssh://a", "x", "", "unix://"])
    assert.throws(
      () => parseEndpoint(host, {}),
      (error) => isTsboxError(error) && error.code === "InvalidArgument",
      host,
    );
});

interface Engine {
  readonly url: string;
  readonly server: Server;
}
async function serve(t: Case, handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<Engine> {
  const path = `${temporaryDirectory(t)}/e.sock`;
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.cleanup(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { url: `unix://${path}`, server };
}

test("what failed there fails here under the same code", async (t) => {
  let [status, message] = [0, ""];
  const { url } = await serve(t, (_request, response) =>
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ message })),
  );
  const api = remoteApi(new Remote(parseEndpoint(url, {})));
  for (const [http, text, code] of [
    [400, "bad", "InvalidArgument"],
    [404, "No such container: x", "NotFound"],
    [409, "in use", "Conflict"],
    [500, "oh", "Internal"],
    [503, "busy", "Unavailable"],
    [400, 'exec "/x": no such file or directory', "CommandNotFound"],
    [400, 'exec "/x": permission denied', "NotExecutable"],
  ] as const) {
    [status, message] = [http, text];
    await assert.rejects(
      api.containerStart(call, "x", {}),
      (error) => isTsboxError(error) && error.code === code && error.message === text,
      code,
    );
  }
  status = 304;
  assert.equal((await api.containerStart(call, "x", {})).started, false);
  const nobody = remoteApi(new Remote(parseEndpoint("unix:///nonexistent/sock", {})));
  await assert.rejects(
    nobody.info(call),
    (error) => isTsboxError(error) && error.code === "Unavailable" && /Is it running/.test(error.message),
  );
});

async function run(
  url: string,
  argv: readonly string[],
  input: string,
): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
  const child = spawn(process.execPath, ["--conditions=tsbox-source", "--disable-warning=ExperimentalWarning", program, ...argv], {
    env: { ...process.env, TSBOX_HOST: url },
  });
  const [out, err] = [[], []] as [Uint8Array[], Uint8Array[]];
  child.stdout.on("data", (part: Uint8Array) => out.push(part));
  child.stderr.on("data", (part: Uint8Array) => err.push(part));
  child.stdin.on("error", () => {}).end(input);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

test("load sends standard input, and reports failures", async (t) => {
  let got = 0;
  const { url } = await serve(t, (request, response) => {
    request.on("data", (part: Buffer) => {
      got += part.length;
    });
    request.on("end", () => response.end(got > 10 ? '{"stream":"Loaded image: a:1\\n"}\r\n' : '{"error":"no archive"}\r\n'));
  });
  assert.deepEqual(await run(url, ["load", "-q"], "x".repeat(1_000_000)), { code: 0, out: "Loaded image: a:1\n", err: "" });
  assert.equal(got, 1_000_000);
  got = 0;
  assert.deepEqual(await run(url, ["load"], "x"), { code: 1, out: "", err: "tsbox: no archive\n" });
});

test("run attaches and waits before it starts, carries stdin and both outputs, and exits as the container", async (t) => {
  const order: string[] = [];
  let ended: ServerResponse | undefined;
  let stdio: Duplex | undefined;
  const { url, server } = await serve(t, (request, response) => {
    const path = (request.url ?? "").replace(/^\/v[\d.]+/, "");
    order.push(path.replace(/\?.*/, ""));
    if (path.startsWith("/containers/create")) response.writeHead(201).end('{"Id":"c1","Warnings":[]}');
    else if (path.startsWith("/containers/c1/wait")) {
      ended = response;
      response.writeHead(200).flushHeaders();
    } else if (path === "/containers/c1/start") {
      response.writeHead(204).end();
      const input: Uint8Array[] = [];
      stdio?.on("data", (part: Uint8Array) => input.push(part));
      stdio?.on("end", () => {
        stdio?.end(Buffer.concat([frame(1, `out ${Buffer.concat(input).toString()}`), frame(2, "err\n")]));
        ended?.end('{"StatusCode":42,"Error":null}\n');
      });
    } else response.writeHead(404).end();
  });
  server.on("upgrade", (request, socket) => {
    order.push((request.url ?? "").replace(/^\/v[\d.]+|\?.*/g, ""));
    stdio = socket;
    const type = "application/vnd.docker.multiplexed-stream";
    socket.write(`HTTP/1.1 101 UPGRADED\r\nContent-Type: ${type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
  });
  assert.deepEqual(await run(url, ["run", "-i", "--rm", "a:1", "cat"], "hello\n"), { code: 42, out: "out hello\n", err: "err\n" });
  assert.deepEqual(order, ["/containers/create", "/containers/c1/attach", "/containers/c1/wait", "/containers/c1/start"]);
});
