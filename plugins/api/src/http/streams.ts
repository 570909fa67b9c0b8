/** Long answers: JSON lines, log frames. Their head is sent at once, and each part as soon as it exists. */
import type { Writable } from "node:stream";
import type { Json, Logger } from "@tsbox/kernel";
import type { FastifyReply } from "fastify";
import { errorLine } from "./errors.ts";

/**
 * Sends one JSON object a line. An error before the first line is an ordinary error answer, and a later one is a line of the stream. With
 * `head` "at once" the head is sent before the first line, and every error is a line.
 */
export async function sendLines(reply: FastifyReply, lines: AsyncIterable<Json>, head: "at once" | "with the first line"): Promise<void> {
  const iterator = lines[Symbol.asyncIterator]();
  const first = head === "at once" ? null : await iterator.next();
  begin(reply, "application/json");
  await send(reply, each(iterator, first));
}

async function* each(iterator: AsyncIterator<Json>, first: IteratorResult<Json> | null): AsyncGenerator<Uint8Array> {
  try {
    for (let step = first ?? (await iterator.next()); !step.done; step = await iterator.next())
      yield Buffer.from(`${JSON.stringify(step.value)}\r\n`);
  } catch (error) {
    yield Buffer.from(`${JSON.stringify(errorLine(error))}\r\n`);
  } finally {
    await iterator.return?.();
  }
}

/** An error after the head is logged: the client sees only that the body breaks off. */
export async function sendBytes(reply: FastifyReply, contentType: string, bytes: AsyncIterable<Uint8Array>, log?: Logger): Promise<void> {
  begin(reply, contentType);
  await send(reply, bytes, log);
}

/** Sends status 200 and the headers now. */
export function begin(reply: FastifyReply, contentType: string): void {
  reply.hijack();
  const headers = Object.entries(reply.getHeaders()).filter(([, value]) => value !== undefined) as [string, string][];
  reply.raw.writeHead(200, { ...Object.fromEntries(headers), "content-type": contentType });
  reply.raw.flushHeaders();
}

async function send({ raw }: FastifyReply, bytes: AsyncIterable<Uint8Array>, log?: Logger): Promise<void> {
  try {
    for await (const part of bytes) {
      if (raw.destroyed) return;
      if (!raw.write(part)) await drained(raw);
    }
    raw.end();
  } catch (error) {
    if (!raw.destroyed) log?.warn(`an answer broke off: ${error instanceof Error ? error.message : String(error)}`);
    // The body ends without its last chunk: nothing else can report the error to the client now.
    raw.destroy();
  }
}

/** Returns when the stream takes more, or is closed. It leaves no listener behind: a long answer waits many times. */
export function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}
