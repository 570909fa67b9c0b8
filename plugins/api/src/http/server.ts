/**
 * Docker's Engine API over HTTP: the service `api` for the world outside. One server, on a socket that somebody else has opened (the
 * launcher) or on a path.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { fail, limits, parseJson } from "@tsbox/kernel";
import { fastify } from "fastify";
import { attach } from "./attach.ts";
import { makeCalls } from "./calls.ts";
import { failureOf } from "./errors.ts";
import { execStart } from "./exec.ts";
import type { Front } from "./front.ts";
import { refuse, takeUnasked, wantsHijack } from "./hijack.ts";
import { containerRoutes } from "./routes/containers.ts";
import { execRoutes } from "./routes/execs.ts";
import { fileRoutes } from "./routes/files.ts";
import { imageRoutes } from "./routes/images.ts";
import { networkRoutes } from "./routes/networks.ts";
import { headers, systemRoutes } from "./routes/system.ts";
import { volumeRoutes } from "./routes/volumes.ts";
import { versionOf } from "./versions.ts";

export type Listener = { readonly fd: number } | { readonly path: string } | { readonly host: string; readonly port: number };
export interface HttpServer {
  close(): Promise<void>;
}

/** A reference has at most 255 characters, a digest 71. */
const longestName = 1024;

export async function serveHttp(services: Omit<Front, "calls" | "versionOf">, listen: Listener): Promise<HttpServer> {
  const versions = new WeakMap<IncomingMessage, string>();
  const front: Front = { ...services, calls: makeCalls(services.log), versionOf: (request) => versions.get(request) ?? "" };
  let server: Server | undefined;
  const hijacked = new Set<Duplex>();
  const most = mostConnections();
  const app = fastify({
    bodyLimit: limits.largestJson,
    // Builds, loads and follows last as long as they last.
    requestTimeout: 0,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: longestName },
    serverFactory: (handler) => {
      server = createServer({ requestTimeout: 0, shouldUpgradeCallback: wantsHijack }, (request, response) => {
        const versioned = versionOf(request.url ?? "/");
        if ("refused" in versioned) {
          response.writeHead(400, { ...headers, "content-type": "application/json" }).end(JSON.stringify({ message: versioned.refused }));
          return;
        }
        versions.set(request, versioned.version);
        request.url = versioned.path;
        handler(request, response);
      });
      const accept = server.listeners("connection") as ((socket: Socket) => void)[];
      const own = server.removeAllListeners("connection");
      let connections = 0;
      own.on("connection", (socket: Socket) => {
        connections += 1;
        socket.once("close", () => (connections -= 1));
        if (connections > most) turnAway(socket);
        else takeUnasked(socket, () => accept.forEach((one) => void one.call(own, socket)));
      });
      server.on("upgrade", (request, socket, head) => {
        hijacked.add(socket.once("close", () => hijacked.delete(socket)));
        const take = /^(\/v[\d.]+)?\/exec\//.test(request.url ?? "") ? execStart : attach;
        void take(front, request, socket, head);
      });
      return server;
    },
  });
  app.removeAllContentTypeParsers();
  // Clients say JSON and send nothing.
  app.addContentTypeParser("application/json", { parseAs: "string" }, (_request, body, done) => {
    try {
      done(null, body === "" ? null : parseJson(body as string));
    } catch {
      done(Object.assign(new Error("invalid JSON in the request's body"), { statusCode: 400 }));
    }
  });
  app.addContentTypeParser("*", (_request, body, done) => done(null, body));
  app.addHook("onRequest", async (_request, reply) => void reply.headers(headers));
  // Docker's client takes an error for words only when its type is exactly this: the framework would add a charset.
  app.addHook("onSend", async (_request, reply) => {
    if (String(reply.getHeader("content-type")).startsWith("application/json")) reply.header("content-type", "application/json");
  });
  app.setErrorHandler(async (error, request, reply) => {
    const { status, message } = failureOf(error);
    await drained(request.raw);
    if (status === 500) services.log.error((error as Error).stack ?? message);
    return reply.code(status).type("application/json").send({ message });
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ message: "page not found" }));
  for (const routes of [systemRoutes, containerRoutes, execRoutes, fileRoutes, imageRoutes, networkRoutes, volumeRoutes])
    routes(app, front);
  await app.ready();
  await listening(server, listen);
  return {
    close: async () => {
      // Streams that follow something would keep it open for ever.
      server?.closeAllConnections();
      // Node does not count these any more, and waits for them all the same.
      for (const socket of hijacked) socket.destroy();
      await new Promise((resolve) => server?.close(resolve));
      await app.close();
    },
  };
}

function listening(server: Server | undefined, options: Listener): Promise<void> {
  return new Promise((resolve, reject) => {
    server?.once("error", reject).listen(options, () => resolve());
  });
}

/** Half of the descriptors that this process may have: the others are for what requests open. */
function mostConnections(): number {
  const limit = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return limit === undefined ? Number.POSITIVE_INFINITY : Math.floor(Number(limit) / 2);
}

/** Nothing is read: who has too many connections learns that, whatever it sends. */
function turnAway(socket: Socket): void {
  // Whatever it goes on sending: a limit on silence alone would be no limit.
  const timer = setTimeout(() => socket.destroy(), patience);
  socket.on("error", () => socket.destroy()).once("close", () => clearTimeout(timer));
  refuse(
    socket,
    fail("Unavailable", "the engine has as many connections as its open files allow: close some, or raise its limit (ulimit -n)"),
  );
  socket.resume();
}

/** How long a client may go on sending what nobody wants any more. */
const patience = 2_000;

/** A connection that is closed with unread bytes in it takes the answer along: what is still coming is read first. */
function drained(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, patience);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    request.once("end", done).once("close", done).resume();
  });
}
