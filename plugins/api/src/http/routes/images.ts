/** /images. Names have slashes in them, so what follows a name is cut off by hand. */
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Call, fail, type ProgressLine } from "@tsbox/kernel";
import type { FastifyInstance } from "fastify";
import { filters, flag, type Query, text } from "../query.ts";
import { registryAuth } from "../registry-auth.ts";
import type { Front } from "../server.ts";
import { sendLines } from "../streams.ts";

type Named = { Params: { "*": string }; Querystring: Query };

/** `a/b/json` → `["a/b", "json"]` */
function nameAnd(path: string): readonly [name: string, what: string] {
  const slash = path.lastIndexOf("/");
  return [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
}

export function imageRoutes(app: FastifyInstance, { api, calls, uploads }: Front): void {
  app.get<{ Querystring: Query }>("/images/json", ({ query }) =>
    api.imageList(calls.lasting(), { all: flag(query, "all"), digests: flag(query, "digests"), filters: filters(query) }),
  );
  app.post<{ Querystring: Query }>("/images/create", async (request, reply) => {
    const { query } = request;
    const name = text(query, "fromImage");
    if (name === "") throw fail("Unsupported", "import of a root file system is not there yet: give fromImage");
    const options = {
      tag: text(query, "tag"),
      platform: text(query, "platform") || undefined,
      auth: registryAuth(request.headers["x-registry-auth"]),
    };
    await sendLines(reply, await api.imagePull(calls.while(request), name, options), "with the first line");
  });
  let count = 0;
  app.post<{ Querystring: Query; Body: unknown }>("/images/load", async (request, reply) => {
    count += 1;
    const path = join(uploads, `load-${count}.tar`);
    const call = calls.while(request);
    try {
      await pipeline(request.body as Readable, createWriteStream(path, { flags: "wx", mode: 0o600 }), { signal: call.signal });
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
    await sendLines(reply, loading(call, path), "with the first line");
  });
  /** The file is gone when the answer has ended. */
  async function* loading(call: Call, path: string): AsyncGenerator<ProgressLine> {
    try {
      yield* await api.imageLoad(call, path);
    } finally {
      await rm(path, { force: true });
    }
  }
  app.get<Named>("/images/*", ({ params }) => {
    const [name, what] = nameAnd(params["*"]);
    if (what === "json") return api.imageInspect(calls.lasting(), name);
    if (what === "history") return api.imageHistory(calls.lasting(), name);
    throw fail("NotFound", "page not found");
  });
  app.post<Named>("/images/*", async ({ params, query }, reply) => {
    const [name, what] = nameAnd(params["*"]);
    if (what === "push") throw fail("Unsupported", "push is not there yet");
    if (what !== "tag") throw fail("NotFound", "page not found");
    await api.imageTag(calls.lasting(), name, text(query, "repo"), text(query, "tag"));
    return reply.code(201).send();
  });
  app.delete<Named>("/images/*", ({ params, query }) =>
    api.imageRemove(calls.lasting(), params["*"], { force: flag(query, "force"), noprune: flag(query, "noprune") }),
  );
}
