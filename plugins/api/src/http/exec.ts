/**
 * `POST /exec/{id}/start`: the connection becomes the stdio of the process. It is joined before the start, so that it also gets the output
 * of a process that ends at once.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type Call, createCall, fail, isTsboxError, type Json, parseJson, type WindowSize } from "@tsbox/kernel";
import { consoleSize } from "../operations/execs.ts";
import { framesType } from "./attach.ts";
import type { Front } from "./front.ts";
import { join, refuse, takeBody, upgrade } from "./hijack.ts";
import { checked } from "./shapes.ts";
import { versionOf } from "./versions.ts";

const form = /^\/exec\/([^/?]+)\/start(?:\?.*)?$/;

export interface ExecStartBody {
  readonly detach: boolean;
  readonly terminal: boolean;
  readonly size: WindowSize | null;
}

export function execStartBody(body: Json): ExecStartBody {
  return { detach: body.Detach === true, terminal: body.Tty === true, size: consoleSize(body.ConsoleSize) };
}

export async function execStart(
  { api, log }: Pick<Front, "api" | "log">,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    const body = parse(await takeBody(request, socket, head));
    const versioned = versionOf(request.url ?? "");
    if ("refused" in versioned) throw fail("InvalidArgument", versioned.refused);
    const call = createCall(log);
    const id = form.exec(versioned.path)?.[1] ?? "";
    const { detach, terminal, size } = execStartBody(body);
    if (detach) {
      await api.execStart(call, id, {});
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const { stream, stdin, detachKeys } = await api.execAttach(call, id, { terminal, stdin: true });
    upgrade(request, socket, framesType(versioned.version, terminal));
    try {
      await api.execStart(call, id, size === null ? {} : { size });
    } catch (error) {
      stream.destroy();
      socket.end(startFailure(error, terminal));
      return;
    }
    // The client may ask for the exit code as soon as the output ends, so the stream stays open until the exit code is known.
    join(socket, stream, { stdin, last: api.execWait(call, id), ...(detachKeys === null ? {} : { keys: detachKeys }) });
  } catch (error) {
    refuse(socket, error);
  }
}

/** Starts the exec and answers its output alone, for a connection that stays HTTP. The output ends when the exit code is known. */
export async function* execOutput(
  { api }: Pick<Front, "api">,
  call: Call,
  id: string,
  stream: Duplex,
  { terminal, size }: ExecStartBody,
): AsyncGenerator<Uint8Array> {
  try {
    await api.execStart(call, id, size === null ? {} : { size });
  } catch (error) {
    stream.destroy();
    yield startFailure(error, terminal);
    return;
  }
  yield* stream as AsyncIterable<Uint8Array>;
  await api.execWait(call, id);
}

function parse(body: Buffer): Json {
  let parsed: unknown = {};
  try {
    if (body.length > 0) parsed = parseJson(body.toString());
  } catch (error) {
    throw fail("InvalidArgument", `invalid JSON in the request's body: ${(error as Error).message}`);
  }
  return checked(parsed, "exec start");
}

/** The connection is upgraded already, so the error message is sent as output; the exit code has the rest. */
function startFailure(error: unknown, terminal: boolean): Buffer {
  const text = Buffer.from(`${wordsOf(error)}\r\n`);
  if (terminal) return text;
  const header = Buffer.alloc(8);
  header[0] = 1;
  header.writeUInt32BE(text.length, 4);
  return Buffer.concat([header, text]);
}

/** Docker's clients parse its runtime's messages. */
function wordsOf(error: unknown): string {
  if (!isTsboxError(error)) return error instanceof Error ? error.message : String(error);
  if (error.stage === undefined) return error.message;
  return `OCI runtime exec failed: exec failed: unable to start container process: ${error.message.replace(/^exec "/, 'exec: "')}: unknown`;
}
