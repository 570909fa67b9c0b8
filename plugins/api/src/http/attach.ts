/** `POST /containers/{id}/attach`: the connection itself becomes the container's stdio. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import {
  type ApiService,
  type Call,
  type Container,
  type ContainersService,
  createCall,
  detachKeys,
  fail,
  type Logger,
} from "@tsbox/kernel";
import { join, refuse, takeBody, upgrade } from "./hijack.ts";
import { flag, type Query, text } from "./query.ts";
import { connectShim } from "./shim-stream.ts";
import { atLeast, versionOf } from "./versions.ts";

export interface AttachServices {
  readonly api: ApiService;
  readonly containers: ContainersService;
  readonly log: Logger;
}

const form = /^\/containers\/([^/?]+)\/attach(?:\?(.*))?$/;

export function framesType(version: string, terminal: boolean): string {
  return `application/vnd.docker.${!terminal && atLeast(version, "1.42") ? "multiplexed" : "raw"}-stream`;
}

export async function attach(services: AttachServices, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    await takeBody(request, socket, head);
    const versioned = versionOf(request.url ?? "");
    if ("refused" in versioned) throw fail("InvalidArgument", versioned.refused);
    const [, id = "", search = ""] = form.exec(versioned.path) ?? [];
    const query: Query = Object.fromEntries(new URLSearchParams(search));
    const call = createCall(services.log);
    const record = await services.containers.get(call, decoded(id));
    const shim = flag(query, "stream") ? await openStream(services, call, record, query) : null;
    const before = flag(query, "logs") ? await logs(services.api, call, record, query) : null;
    upgrade(request, socket, framesType(versioned.version, record.config.terminal));
    if (before) for await (const part of before) socket.write(part);
    if (shim === null) socket.end();
    else join(socket, shim, { stdin: flag(query, "stdin") });
  } catch (error) {
    refuse(socket, error);
  }
}

function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    throw fail("InvalidArgument", `invalid URL escape in ${JSON.stringify(id.slice(0, 100))}`);
  }
}

export async function openStream({ containers }: AttachServices, call: Call, record: Container, query: Query): Promise<Duplex> {
  const path = await containers.attachSocket(call, record.id);
  const keys = detachKeys(text(query, "detachKeys"));
  const wishes = {
    stdin: flag(query, "stdin"),
    stdout: flag(query, "stdout"),
    stderr: flag(query, "stderr"),
    ...(keys === null ? {} : { detachKeys: keys }),
  };
  return connectShim(path, { ...wishes, framed: !record.config.terminal });
}

export async function logs(api: ApiService, call: Call, { id }: Container, query: Query): Promise<AsyncIterable<Uint8Array>> {
  return (await api.containerLogs(call, id, { stdout: flag(query, "stdout"), stderr: flag(query, "stderr"), tail: "all" })).frames;
}
