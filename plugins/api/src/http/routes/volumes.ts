/** /volumes. */
import type { Json } from "@tsbox/kernel";
import type { FastifyInstance } from "fastify";
import type { Front } from "../front.ts";
import { filters, flag, type Query } from "../query.ts";
import { checked } from "../shapes.ts";
import { atLeast } from "../versions.ts";

type Named = { Params: { name: string }; Querystring: Query };

export function volumeRoutes(app: FastifyInstance, { api, calls, versionOf }: Front): void {
  app.get<{ Querystring: Query }>("/volumes", ({ query }) => api.volumeList(calls.lasting(), { filters: filters(query) }));
  app.post<{ Body: Json | null }>("/volumes/create", async ({ body }, reply) => {
    return reply.code(201).send(await api.volumeCreate(calls.lasting(), checked(body, "volume", {})));
  });
  app.post<{ Querystring: Query }>("/volumes/prune", (request) => {
    const asked = filters(request.query);
    // As in Docker: before 1.42 a prune always removed all volumes.
    const all = asked.all === undefined && !atLeast(versionOf(request.raw), "1.42") ? { all: ["true"] } : {};
    return api.volumePrune(calls.lasting(), { filters: { ...asked, ...all } });
  });
  app.get<Named>("/volumes/:name", ({ params }) => api.volumeInspect(calls.lasting(), params.name));
  app.delete<Named>("/volumes/:name", async ({ params, query }, reply) => {
    await api.volumeRemove(calls.lasting(), params.name, { force: flag(query, "force") });
    return reply.code(204).send();
  });
}
