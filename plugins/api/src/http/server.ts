/**
 * Docker's Engine API over HTTP: the service `api` for other programs. One server, on a socket that the launcher has opened or on a path.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { fail, limits, plainCell } from "@tsbox/kernel";
import { fastify } from "fastify";
import { attach } from "./attach.ts";
import { bodyParsers } from "./bodies.ts";
import { makeCalls } from "./calls.ts";
import { failureOf } from "./errors.ts";
import { execStart } from "./exec.ts";
import type { Front } from "./front.ts";
import { refuse, refuseWith, takeUnasked, wantsHijack } from "./hijack.ts";
import { containerRoutes } from "./routes/containers.ts";
import { execRoutes } from "./routes/execs.ts";
import { fileRoutes } from "./routes/files.ts";
import { imageRoutes } from "./routes/images.ts";
import { networkRoutes } from "./routes/networks.ts";
import { storageRoutes } from "./routes/storage.ts";
import { headers, systemRoutes } from "./routes/system.ts";
import { volumeRoutes } from "./routes/volumes.ts";
import { versionOf } from "./versions.ts";

export type Listener = { readonly fd: number } | { readonly path: string } | { readonly host: string; readonly port: number };
export interface HttpServer {
  close(): Promise<void>;
}

/** Characters of a path parameter. A reference has at most 255 characters, a digest 71. */
const longestName = 1024;

export async function serveHttp(services: Omit<Front, "calls" | "versionOf">, listen: Listener): Promise<HttpServer> {
  const versions = new WeakMap<IncomingMessage, string>();
  const front: Front = { ...services, calls: makeCalls(services.log), versionOf: (request) => versions.get(request) ?? "" };
  let server: Server | undefined;
  const hijacked = new Set<Duplex>();
  const most = mostConnections();
  const app = fastify({
    bodyLimit: limits.largestJson,
    // Builds, loads and followed streams have no time limit.
    requestTimeout: 0,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: longestName },
    // Errors before a route is found, where no hook of ours runs.
    frameworkErrors: ({ code }, _request, reply) => {
      const [status, message] =
        code === "FST_ERR_MAX_PARAM_LENGTH"
          ? [404, `no such name: it has more than ${longestName} characters`]
          : [400, "invalid URL escape in the request's path: write % as %25"];
      reply.hijack();
      reply.raw.writeHead(status, { ...headers, "content-type": "application/json" }).end(JSON.stringify({ message }));
    },
    clientErrorHandler: (error, socket) => refuseBroken(socket, error),
    serverFactory: (handler) => {
      server = createServer(
        { requestTimeout: 0, maxHeaderSize: limits.largestHead, shouldUpgradeCallback: wantsHijack },
        (request, response) => {
          const versioned = versionOf(request.url ?? "/");
          if ("refused" in versioned) {
            response.writeHead(400, { ...headers, "content-type": "application/json" }).end(JSON.stringify({ message: versioned.refused }));
            return;
          }
          versions.set(request, versioned.version);
          request.url = versioned.path;
          handler(request, response);
        },
      );
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
  bodyParsers(app);
  app.addHook("onRequest", async (_request, reply) => void reply.headers(headers));
  // Docker's client only parses an error if its type is exactly this; the framework would add a charset.
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
  for (const routes of [systemRoutes, containerRoutes, execRoutes, fileRoutes, imageRoutes, networkRoutes, storageRoutes, volumeRoutes])
    routes(app, front);
  await app.ready();
  await listening(server, listen);
  return {
    close: async () => {
      // Streams that follow something would keep the server open forever.
      server?.closeAllConnections();
      // Node no longer counts these connections, but waits for them.
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

/** Half of the descriptors of this process: the others are for the files that requests open. */
function mostConnections(): number {
  const limit = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return limit === undefined ? Number.POSITIVE_INFINITY : Math.floor(Number(limit) / 2);
}

/** Refuses a connection beyond the limit, without reading its request. */
function turnAway(socket: Socket): void {
  // A fixed limit: a client that keeps sending would never reach an idle timeout.
  const timer = setTimeout(() => socket.destroy(), drainTimeout);
  socket.on("error", () => socket.destroy()).once("close", () => clearTimeout(timer));
  refuse(
    socket,
    fail("Unavailable", "the engine has as many connections as its open files allow: close some, or raise its limit (ulimit -n)"),
  );
  socket.resume();
}

/** Answers what is no HTTP request, and closes its connection. */
function refuseBroken(socket: Socket, { code, message, reason }: Error & { readonly code?: string; readonly reason?: string }): void {
  if (code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, why] =
    code === "HPE_HEADER_OVERFLOW"
      ? [431, `the request's head has more than ${limits.largestHead} bytes: send less in its path, its query and its headers`]
      : code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? [408, "the request's head took too long: send it again"]
        : [400, `this is no valid HTTP request (${plainCell(reason || message).slice(0, 200)}): look at the client`];
  refuseWith(socket, status, why);
  // A fixed limit: a client may send more than anybody reads.
  const timer = setTimeout(() => socket.destroy(), drainTimeout);
  socket.once("close", () => clearTimeout(timer));
}

/** Milliseconds in which a client may finish sending data that the engine no longer needs. */
const drainTimeout = 2_000;

/** Closing a connection with unread bytes would drop the answer, so the rest of the request is read first. */
function drained(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, drainTimeout);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    request.once("end", done).once("close", done).resume();
  });
}
