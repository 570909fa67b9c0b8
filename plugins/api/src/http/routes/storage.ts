/** /tsbox/v1/storage: what the storage drivers hold, and migration between them. */
import { fail } from "@tsbox/kernel";
import type { FastifyInstance } from "fastify";
import type { Front } from "../front.ts";
import { flag, type Query, text } from "../query.ts";
import { sendLines } from "../streams.ts";

export function storageRoutes(app: FastifyInstance, { api, calls }: Front): void {
  app.get("/tsbox/v1/storage", () => api.storageList(calls.lasting()));
  app.get<{ Querystring: Query }>("/tsbox/v1/storage/plan", ({ query }) =>
    api.storagePlan(calls.lasting(), named(query, "from"), named(query, "to"), { stop: flag(query, "stop") }),
  );
  app.post<{ Querystring: Query }>("/tsbox/v1/storage/migrate", async ({ query }, reply) => {
    const options = { remove: flag(query, "remove"), stop: flag(query, "stop") };
    const lines = await api.storageMigrate(calls.while(reply), named(query, "from"), named(query, "to"), options);
    await sendLines(reply, lines, "with the first line");
  });
}

function named(query: Query, key: "from" | "to"): string {
  const id = text(query, key);
  if (id === "") throw fail("InvalidArgument", `no storage driver is named: give ${key}`);
  return id;
}
