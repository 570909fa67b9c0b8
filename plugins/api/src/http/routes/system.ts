/** /_ping, /version, /info, /events, and endpoints that this engine does not support. */
import { arch } from "node:os";
import type { FastifyInstance } from "fastify";
import { apiVersion, engineVersion } from "../../operations/versions.ts";
import type { Front } from "../front.ts";
import { filters, type Query, text } from "../query.ts";
import { sendLines } from "../streams.ts";

/** The headers of every answer. */
export const headers: Readonly<Record<string, string>> = {
  "Api-Version": apiVersion,
  "Docker-Experimental": "false",
  Ostype: "linux",
  Server: `tsbox/${engineVersion} (linux/${arch()})`,
};

const pingHeaders = {
  "Builder-Version": "1",
  Swarm: "inactive",
  "Cache-Control": "no-cache, no-store, must-revalidate",
  Pragma: "no-cache",
};

export function systemRoutes(app: FastifyInstance, { api, calls }: Front): void {
  // A separate HEAD route: clients expect a length of 0.
  app.head("/_ping", (_request, reply) =>
    reply.headers(pingHeaders).type("text/plain; charset=utf-8").header("content-length", "0").send(),
  );
  app.get("/_ping", { exposeHeadRoute: false }, (_request, reply) =>
    reply.headers(pingHeaders).type("text/plain; charset=utf-8").send("OK"),
  );
  app.get("/version", () => api.version(calls.lasting()));
  app.get("/info", () => api.info(calls.lasting()));
  app.get("/plugins", () => []);
  app.get("/tsbox/v1/plugins", () => api.plugins(calls.lasting()));
  app.get<{ Querystring: Query }>("/events", async (request, reply) => {
    const { query } = request;
    const options = { since: text(query, "since"), until: text(query, "until"), filters: filters(query) };
    await sendLines(reply, await api.events(calls.while(reply), options), "at once");
  });
  for (const group of ["swarm", "nodes", "services", "tasks", "secrets", "configs"])
    for (const path of [`/${group}`, `/${group}/*`])
      app.all(path, (_request, reply) =>
        reply.code(503).send({ message: "This node is not a swarm manager: this engine has no swarm; run the containers themselves" }),
      );
}
