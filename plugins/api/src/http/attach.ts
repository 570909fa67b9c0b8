/** `POST /containers/{id}/attach`: the connection becomes the container's stdio. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type ContainerSession, createCall, fail } from "@tsbox/kernel";
import type { Front } from "./front.ts";
import { join, refuse, takeBody, upgrade } from "./hijack.ts";
import { flag, type Query, text } from "./query.ts";
import { drained } from "./streams.ts";
import { atLeast, versionOf } from "./versions.ts";

const form = /^\/containers\/([^/?]+)\/attach(?:\?(.*))?$/;

export function framesType(version: string, terminal: boolean): string {
  return `application/vnd.docker.${!terminal && atLeast(version, "1.42") ? "multiplexed" : "raw"}-stream`;
}

export async function attach(
  { api, log }: Pick<Front, "api" | "log">,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    await takeBody(request, socket, head);
    const versioned = versionOf(request.url ?? "");
    if ("refused" in versioned) throw fail("InvalidArgument", versioned.refused);
    const [, id = "", search = ""] = form.exec(versioned.path) ?? [];
    const query: Query = Object.fromEntries(new URLSearchParams(search));
    const { terminal, past, stream } = await api.containerAttach(createCall(log), decoded(id), wishes(query));
    upgrade(request, socket, framesType(versioned.version, terminal));
    // A client that leaves, or reads nothing, while it gets the log.
    socket.once("close", () => stream?.destroy());
    for await (const part of past ?? []) {
      if (!socket.write(part)) await drained(socket);
      if (socket.destroyed) return;
    }
    if (stream === null) socket.end();
    else join(socket, stream, { stdin: flag(query, "stdin") });
  } catch (error) {
    refuse(socket, error);
  }
}

/** The options in a request's query. */
export const wishes = (query: Query): Parameters<Front["api"]["containerAttach"]>[2] => ({
  stream: flag(query, "stream"),
  logs: flag(query, "logs"),
  stdin: flag(query, "stdin"),
  stdout: flag(query, "stdout"),
  stderr: flag(query, "stderr"),
  detachKeys: text(query, "detachKeys"),
});

/** The output alone, for a connection that stays HTTP. */
export async function* output({ past, stream }: ContainerSession): AsyncGenerator<Uint8Array> {
  if (past) yield* past;
  if (stream) yield* stream as AsyncIterable<Uint8Array>;
}

function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    throw fail("InvalidArgument", `invalid URL escape in ${JSON.stringify(id.slice(0, 100))}`);
  }
}
