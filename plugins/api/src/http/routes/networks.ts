/** /networks. */
import type { Json } from "@tsbox/kernel";
import type { FastifyInstance } from "fastify";
import type { Front } from "../front.ts";
import { filters, flag, type Query } from "../query.ts";
import { checked } from "../shapes.ts";

type Named = { Params: { id: string } };

export function networkRoutes(app: FastifyInstance, { api, calls }: Front): void {
  app.get<{ Querystring: Query }>("/networks", ({ query }) => api.networkList(calls.lasting(), { filters: filters(query) }));
  app.get<Named>("/networks/:id", ({ params }) => api.networkInspect(calls.lasting(), params.id));
  app.post<{ Body: Json | null }>("/networks/create", async ({ body }, reply) => {
    return reply.code(201).send(await api.networkCreate(calls.lasting(), checked(body, "network")));
  });
  app.post<{ Querystring: Query }>("/networks/prune", ({ query }) => api.networkPrune(calls.lasting(), { filters: filters(query) }));
  app.post<Named & { Body: Json | null }>("/networks/:id/connect", async ({ params, body }, reply) => {
    await api.networkConnect(calls.lasting(), params.id, checked(body, "endpoint", {}));
    return reply.code(200).send();
  });
  app.post<Named & { Body: Json | null }>("/networks/:id/disconnect", async ({ params, body }, reply) => {
    await api.networkDisconnect(calls.lasting(), params.id, checked(body, "endpoint", {}));
    return reply.code(200).send();
  });
  // `force` is ours: the network goes even if its driver is missing.
  app.delete<Named & { Querystring: Query }>("/networks/:id", async ({ params, query }, reply) => {
    await api.networkRemove(calls.lasting(), params.id, { force: flag(query, "force") });
    return reply.code(204).send();
  });
}
