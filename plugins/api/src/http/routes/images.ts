/** /images. Names contain slashes, so the part after a name is split off by hand. */
import { type Call, fail, type ProgressLine } from "@tsbox/kernel";
import type { FastifyInstance } from "fastify";
import { bytes } from "../bodies.ts";
import type { Front } from "../front.ts";
import { filters, flag, type Query, text, texts } from "../query.ts";
import { registryAuth } from "../registry-auth.ts";
import { sendBytes, sendLines } from "../streams.ts";
import { platformOf, saveOptions, uploaded } from "./files.ts";

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
  app.post<{ Querystring: Query; Body: unknown }>("/images/create", bytes, async (request, reply) => {
    const { query } = request;
    const call = calls.while(reply);
    const name = text(query, "fromImage");
    if (name === "") return sendLines(reply, importing(call, query, request.body), "with the first line");
    const options = {
      tag: text(query, "tag"),
      platform: platformOf(text(query, "platform")),
      auth: registryAuth(request.headers["x-registry-auth"]),
    };
    await sendLines(reply, await api.imagePull(call, name, options), "with the first line");
  });
  app.post<{ Querystring: Query; Body: unknown }>("/images/load", bytes, async (request, reply) => {
    const call = calls.while(reply);
    const options = { platform: platformOf(text(request.query, "platform")), quiet: flag(request.query, "quiet") };
    await sendLines(
      reply,
      uploaded(uploads, call, request.body, (path) => api.imageLoad(call, path, options)),
      "with the first line",
    );
  });
  /** A root file system from the body or from a URL. */
  function importing(call: Call, query: Query, body: unknown): AsyncIterable<ProgressLine> {
    const source = text(query, "fromSrc");
    if (source === "") throw fail("InvalidArgument", "give fromImage or fromSrc");
    const options = {
      repo: text(query, "repo"),
      tag: text(query, "tag"),
      message: text(query, "message"),
      platform: platformOf(text(query, "platform")) ?? "",
      changes: texts(query, "changes"),
      shown: source,
    };
    if (source === "-") return uploaded(uploads, call, body, (path) => api.imageImport(call, path, options));
    // As in Docker, a host without a scheme means http.
    const url = /^https?:\/\//.test(source) ? source : `http://${source}`;
    return later(() => api.imageImport(call, url, options));
  }
  app.get<Named>("/images/*", async (request, reply) => {
    const [name, what] = nameAnd(request.params["*"]);
    if (what === "get")
      return sendBytes(reply, "application/x-tar", await api.imageSave(calls.while(reply), [name], saveOptions(request.query)));
    const options = { platform: platformOf(text(request.query, "platform")) };
    if (what === "json") return api.imageInspect(calls.lasting(), name, options);
    if (what === "history") return api.imageHistory(calls.lasting(), name, options);
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
    api.imageRemove(calls.lasting(), params["*"], {
      force: flag(query, "force"),
      noprune: flag(query, "noprune"),
      platforms: texts(query, "platforms").flatMap((platform) => platformOf(platform) ?? []),
    }),
  );
}

async function* later<T>(open: () => Promise<AsyncIterable<T>>): AsyncGenerator<T> {
  yield* await open();
}
