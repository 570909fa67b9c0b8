/** Connections to sinks of logs: what a sink that dies had not read is sent again, and all waiting ends. */
import assert from "node:assert/strict";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Case, suite } from "@tsbox/harness";
import { createCall, isTsboxError, SinkStream, silentLog } from "../src/index.ts";

const test = suite("sink streams");

class Sink {
  text = "";
  port = 0;
  isReading = true;
  readonly sockets: Set<Socket> = new Set();
  #server: Server | null = null;
  #waiting: (() => void)[] = [];

  async start(): Promise<void> {
    const server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => this.sockets.delete(socket));
      socket.on("data", (bytes) => {
        this.text += bytes.toString();
        this.#wake();
      });
      if (!this.isReading) socket.pause();
      this.#wake();
    });
    await new Promise<void>((resolve) => server.listen(this.port, "127.0.0.1", resolve));
    const address = server.address();
    if (typeof address === "object" && address !== null) this.port = address.port;
    this.#server = server;
  }
  /** As a killed server: the system resets connections with bytes that were not read. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    const closed = new Promise<void>((resolve) => (server === null ? resolve() : server.close(() => resolve())));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
  async until(fits: () => boolean): Promise<void> {
    while (!fits()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

async function world(
  t: Case,
): Promise<{ readonly sink: Sink; readonly stream: SinkStream; send(text: string, timeout?: number): Promise<void> }> {
  const sink = new Sink();
  await sink.start();
  const stream = new SinkStream({
    address: "tcp://test",
    connect: () => ({ socket: connect({ host: "127.0.0.1", port: sink.port }), event: "connect" }),
  });
  t.cleanup(async () => {
    stream.close();
    await sink.kill();
  });
  return { sink, stream, send: (text, timeout = 5_000) => stream.send(createCall(silentLog, { timeout }), Buffer.from(text)) };
}
const isUnavailable = (error: unknown): boolean =>
  isTsboxError(error) && error.code === "Unavailable" && /^tcp:\/\/test does not take logs: /.test(error.message);

test("batches come in their order over one connection", async (t) => {
  const { sink, send } = await world(t);
  await Promise.all([send("one "), send("two "), send("three ")]);
  await sink.until(() => sink.text === "one two three ");
  assert.equal(sink.sockets.size, 1);
});

test("a batch that a killed sink had not read comes again by itself, before later ones", async (t) => {
  const { sink, send } = await world(t);
  sink.isReading = false;
  await send("one ");
  await sink.until(() => sink.sockets.size === 1);
  await sink.kill();
  sink.isReading = true;
  await sink.start();
  await sink.until(() => sink.text === "one ");
  await send("two ");
  await sink.until(() => sink.text === "one two ");
});

test("a sink that has read everything and ends later gets nothing twice", async (t) => {
  const { sink, send } = await world(t);
  await send("one ");
  await sink.until(() => sink.text === "one ");
  // An end that comes at once after a batch counts as one that may have lost it.
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  await sink.kill();
  await sink.start();
  await send("two ");
  await sink.until(() => sink.text.includes("two "));
  assert.equal(sink.text, "one two ");
});

test("nobody listens, or nobody reads: Unavailable within the call's time, and the next batch gets a new connection", async (t) => {
  const { sink, send } = await world(t);
  await sink.kill();
  await assert.rejects(send("lost "), isUnavailable);
  sink.isReading = false;
  await sink.start();
  const much = "x".repeat(32 << 20);
  await assert.rejects(send(much, 300), isUnavailable);
  sink.isReading = true;
  await send("end");
  await sink.until(() => sink.text.endsWith("end"));
});
