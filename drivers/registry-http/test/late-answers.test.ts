/** Registries that delay the beginning of an answer, each in its own way: one deadline ends them all, for HEAD and GET together. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { type Case, suite } from "@tsbox/harness";
import { isTsboxError } from "@tsbox/kernel";
import { anonymous, blobDescriptor, call, open, serve } from "./fake-registry.ts";

const test = suite("late answers", { timeout: 30_000 });
const timeout = 400;

/** A TCP server; `speak` gets each connection. Returns its address, and how many connections there were. */
async function raw(t: Case, speak: (socket: Socket) => void): Promise<{ readonly host: string; readonly count: () => number }> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    speak(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.cleanup(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, count: () => sockets.length };
}

/** Sends `text` every few milliseconds until the connection ends. */
function drip(socket: Socket, first: string, text: string): void {
  socket.on("data", () => {});
  socket.write(first);
  const timer = setInterval(() => socket.write(text), 20);
  socket.on("close", () => clearInterval(timer));
}

const rows: readonly (readonly [string, (socket: Socket) => void])[] = [
  ["says nothing", (socket) => socket.on("data", () => {})],
  ["sends a header a byte at a time", (socket) => drip(socket, "HTTP/1.1 200 OK\r\nx-long: ", "a")],
  ["sends interim answers without end", (socket) => drip(socket, "", "HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n")],
  ["refuses with a body without end", (socket) => drip(socket, "HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\na\r\n")],
];
for (const [what, speak] of rows)
  test(`a registry that ${what} is given up after one deadline`, async (t) => {
    const { host } = await raw(t, speak);
    const driver = open(t, "/nonexistent", timeout);
    const began = performance.now();
    for (const asked of [
      () => driver.resolve(call, `${host}/a/b:1`, anonymous),
      () => driver.fetch(call, `${host}/a/b:1`, blobDescriptor, 0, anonymous),
    ])
      await assert.rejects(asked, (error: unknown) => {
        assert.ok(isTsboxError(error), String(error));
        assert.equal(error.code, "Unavailable");
        assert.match(error.message, /gave no answer within 0\.4 s: try again later|answered 500/);
        return true;
      });
    assert.ok(performance.now() - began < 10_000);
  });

test("no GET follows a HEAD that used up the time", async (t) => {
  const { host, asked } = await serve(t, () => {});
  await assert.rejects(open(t, "/nonexistent", timeout).resolve(call, `${host}/a/b:1`, anonymous), /gave no answer within/);
  assert.deepEqual(asked, ["HEAD /v2/a/b/manifests/1"]);
});

test("a token that does not come, and redirects, count as the registry's time", async (t) => {
  const silent = await serve(t, () => {});
  const challenge = { "www-authenticate": `Bearer realm="http://${silent.host}/token",service="s"` };
  const { host } = await serve(t, (_request, response) => response.writeHead(401, challenge).end());
  await assert.rejects(open(t, "/nonexistent", timeout).resolve(call, `${host}/a/b:1`, anonymous), /gave no answer within/);
  const away = await serve(t, (_request, response) => response.writeHead(307, { location: `http://${silent.host}/x` }).end());
  await assert.rejects(
    open(t, "/nonexistent", timeout).fetch(call, `${away.host}/a/b:1`, blobDescriptor, 0, anonymous),
    /gave no answer within/,
  );
});

test("a body may take longer than the beginning of the answer", async (t) => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-length": blobDescriptor.size }).write(Buffer.alloc(10));
    setTimeout(() => response.end(Buffer.alloc(blobDescriptor.size - 10)), 2 * timeout);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.cleanup(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  let size = 0;
  for await (const part of await open(t, "/nonexistent", timeout).fetch(call, `${host}/a/b:1`, blobDescriptor, 0, anonymous))
    size += part.length;
  assert.equal(size, blobDescriptor.size);
});

test("a Retry-After of years is no advice", async (t) => {
  for (const after of ["9".repeat(30), "1e300", "-5", "NaN"]) {
    const { host } = await serve(t, (_request, response) => response.writeHead(429, { "retry-after": after }).end());
    await assert.rejects(open(t).resolve(call, `${host}/a/b:1`, anonymous), /try again later, or log in/);
  }
});
