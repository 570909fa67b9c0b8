/**
 * `POST /exec/{id}/start`: the connection becomes the stdio of the process. Joined before the start, so that nothing of a short life is
 * missed.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type Call, createCall, type Exec, fail, isTsboxError, type Json, type WindowSize } from "@tsbox/kernel";
import { consoleSize } from "../operations/execs.ts";
import { type AttachServices, framesType } from "./attach.ts";
import { join, refuse, takeBody, upgrade } from "./hijack.ts";
import { connectShim } from "./shim-stream.ts";
import { versionOf } from "./versions.ts";

/** ctrl-P ctrl-Q. */
const dockersKeys: readonly number[] = [16, 17];

const form = /^\/exec\/([^/?]+)\/start(?:\?.*)?$/;

export interface ExecStartBody {
  readonly detach: boolean;
  readonly terminal: boolean;
  readonly size: WindowSize | null;
}

export function execStartBody(body: Json): ExecStartBody {
  return { detach: body.Detach === true, terminal: body.Tty === true, size: consoleSize(body.ConsoleSize) };
}

export async function execStart(services: AttachServices, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    const body = parse(await takeBody(request, socket, head));
    const versioned = versionOf(request.url ?? "");
    if ("refused" in versioned) throw fail("InvalidArgument", versioned.refused);
    const call = createCall(services.log);
    const exec = await services.containers.execGet(call, form.exec(versioned.path)?.[1] ?? "");
    const start = execStartBody(body);
    const { detach, terminal, size } = start;
    if (detach) {
      await services.containers.execStart(call, exec.id, {});
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const shim = await openExec(services, call, exec, start, exec.config.attach.stdin);
    upgrade(request, socket, framesType(versioned.version, terminal));
    try {
      await services.containers.execStart(call, exec.id, size === null ? {} : { size });
    } catch (error) {
      shim.destroy();
      socket.end(startFailure(error, terminal));
      return;
    }
    // Who asks for the exit code when the output is over shall get it.
    const last = services.containers.execWait(call, exec.id);
    const keys = exec.config.terminal ? { keys: exec.config.detachKeys ?? dockersKeys } : {};
    join(socket, shim, { stdin: exec.config.attach.stdin, last, ...keys });
  } catch (error) {
    refuse(socket, error);
  }
}

function parse(body: Buffer): Json {
  if (body.length === 0) return {};
  try {
    const parsed: unknown = JSON.parse(body.toString());
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed as Json;
  } catch {
    // Said below.
  }
  throw fail("InvalidArgument", "invalid JSON in the request's body");
}

/** Refused before anything is said to the client: an exec that was started, a container that does not run. */
export async function openExec(
  { containers }: AttachServices,
  call: Call,
  exec: Exec,
  body: ExecStartBody,
  stdin: boolean,
): Promise<Duplex> {
  if (exec.status !== "created")
    throw fail("Conflict", `exec command ${exec.id} ${exec.status === "running" ? "is already running" : "has already run"}`);
  const { attach, terminal, detachKeys } = exec.config;
  // As Docker: who starts it says how the connection is framed. Without frames only one stream can be carried.
  const stderr = attach.stderr && (terminal || !body.terminal);
  const wishes = { stdin: stdin && attach.stdin, stdout: attach.stdout, stderr, framed: !body.terminal, exec: exec.id };
  return connectShim(await containers.attachSocket(call, exec.container, exec.id), {
    ...wishes,
    ...(detachKeys === null ? {} : { detachKeys }),
  });
}

/** The connection is taken already: the words go where the output would have gone, and the exit code says the rest. */
export function startFailure(error: unknown, terminal: boolean): Buffer {
  const text = Buffer.from(`${wordsOf(error)}\r\n`);
  if (terminal) return text;
  const header = Buffer.alloc(8);
  header[0] = 1;
  header.writeUInt32BE(text.length, 4);
  return Buffer.concat([header, text]);
}

/** Docker's clients know its runtime's words. */
function wordsOf(error: unknown): string {
  if (!isTsboxError(error)) return error instanceof Error ? error.message : String(error);
  if (error.stage === undefined) return error.message;
  return `OCI runtime exec failed: exec failed: unable to start container process: ${error.message.replace(/^exec "/, 'exec: "')}: unknown`;
}
