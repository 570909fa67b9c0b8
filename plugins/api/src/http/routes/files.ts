/**
 * Containers' files, image archives and disk space: /containers/{id}/archive, changes, export, /commit, /images/get, the prunes,
 * /system/df.
 */
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Call, fail, isTsboxError, type Json, parseJson, type TsboxError } from "@tsbox/kernel";
import type { FastifyInstance } from "fastify";
import { bytes } from "../bodies.ts";
import type { Front } from "../front.ts";
import { filters, flag, type Query, text, texts } from "../query.ts";
import { registryConfig } from "../registry-auth.ts";
import { checked } from "../shapes.ts";
import { sendBytes } from "../streams.ts";

type Named = { Params: { id: string }; Querystring: Query };
const tar = "application/x-tar";

/** Docker's header: JSON in base64. */
const statHeader = (stat: Json): string => Buffer.from(JSON.stringify(stat)).toString("base64");

export function fileRoutes(app: FastifyInstance, front: Front): void {
  const { api, calls } = front;
  app.head<Named>("/containers/:id/archive", async ({ params, query }, reply) =>
    reply
      .header("X-Docker-Container-Path-Stat", statHeader(await api.containerPathStat(calls.lasting(), params.id, text(query, "path"))))
      .send(),
  );
  app.get<Named>("/containers/:id/archive", { exposeHeadRoute: false }, async (request, reply) => {
    const { params, query } = request;
    const call = calls.while(reply);
    const { stat, tar: bytes } = await api.containerArchive(call, params.id, text(query, "path"));
    reply.header("X-Docker-Container-Path-Stat", statHeader(stat));
    await sendBytes(reply, tar, bytes, call.log);
  });
  app.put<Named & { Body: unknown }>("/containers/:id/archive", bytes, async (request, reply) => {
    const { params, query, body } = request;
    await api.containerExtract(calls.while(reply), params.id, text(query, "path"), kept(bodyOf(body)), {
      noOverwriteDirNonDir: flag(query, "noOverwriteDirNonDir"),
      copyUIDGID: flag(query, "copyUIDGID"),
    });
    return reply.code(200).send();
  });
  app.get<Named>("/containers/:id/changes", async ({ params }, reply) => {
    const found = await api.containerChanges(calls.while(reply), params.id);
    return found.length > 0 ? found : null;
  });
  app.get<Named>("/containers/:id/export", async (request, reply) => {
    const call = calls.while(reply);
    await sendBytes(reply, "application/octet-stream", await api.containerExport(call, request.params.id), call.log);
  });
  app.post<{ Querystring: Query; Body: Json | null }>("/commit", async ({ query, body }, reply) => {
    const made = await api.containerCommit(
      calls.lasting(),
      text(query, "container"),
      body === null || body === undefined ? null : checked(body, "commit"),
      {
        repo: text(query, "repo"),
        tag: text(query, "tag"),
        comment: text(query, "comment"),
        author: text(query, "author"),
        pause: text(query, "pause") === "" || flag(query, "pause"),
        changes: texts(query, "changes"),
      },
    );
    return reply.code(201).send(made);
  });
  app.post<{ Querystring: Query }>("/containers/prune", ({ query }) => api.containerPrune(calls.lasting(), { filters: filters(query) }));
  app.post<{ Querystring: Query }>("/images/prune", ({ query }) => api.imagePrune(calls.lasting(), { filters: filters(query) }));
  // The engine has no build cache; `docker system prune` calls this anyway.
  app.post("/build/prune", () => ({ CachesDeleted: null, SpaceReclaimed: 0 }));
  app.post<{ Querystring: Query }>("/tsbox/check", ({ query, headers }) =>
    api.systemCheck(calls.lasting(), { repair: flag(query, "repair"), auths: registryConfig(headers["x-registry-config"]) }),
  );
  app.get<{ Querystring: Query }>("/system/df", ({ query }) => api.systemDiskUsage(calls.lasting(), { types: texts(query, "type") }));
  app.get<{ Querystring: Query }>("/images/get", async (request, reply) => {
    const names = texts(request.query, "names").flatMap((names) => names.split(","));
    const call = calls.while(reply);
    await sendBytes(reply, tar, await api.imageSave(call, names, saveOptions(request.query)), call.log);
  });
}

/** `materialize` is an addition of tsbox: Docker has no images that use a directory of the host. */
export const saveOptions = (query: Query): { readonly platform?: string | undefined; readonly materialize: boolean } => ({
  platform: platformOf(text(query, "platform")),
  materialize: flag(query, "materialize"),
});

/** `linux/arm64`, or OCI's JSON of it, which clients write since 1.48. */
export function platformOf(value: string): string | undefined {
  if (value === "") return undefined;
  let words = value;
  try {
    const { os, architecture, variant } = (value.startsWith("{") ? parseJson(value) : {}) as Readonly<Record<string, unknown>>;
    if (value.startsWith("{")) words = [os, architecture, variant].filter((part) => typeof part === "string" && part !== "").join("/");
  } catch {
    words = "";
  }
  if (/^[\w.-]+(\/[\w.-]+){0,2}$/.test(words)) return words;
  throw fail("InvalidArgument", `invalid platform: ${value}: give OS/ARCHITECTURE, as linux/arm64`);
}

function bodyOf(body: unknown): Readable {
  if (body !== null && typeof body === "object" && Symbol.asyncIterator in body) return body as Readable;
  throw fail("InvalidArgument", "no body: send the archive as application/x-tar");
}

/** The body stays open when it is read in part: destroying a request closes the connection of the answer. */
const kept = (body: Readable): AsyncIterable<Uint8Array> => ({ [Symbol.asyncIterator]: () => body.iterator({ destroyOnReturn: false }) });

/** An archive that is damaged, or lacks a part: the engine itself has lost nothing. */
const clientsFaults: ReadonlySet<string> = new Set(["DataLoss", "NotFound"]);

/** The client does not know the file's path. */
function ofUpload(error: TsboxError, path: string): TsboxError {
  const text = error.message.replaceAll(path, "the archive that was sent");
  return fail(clientsFaults.has(error.code) ? "InvalidArgument" : error.code, text, { cause: error });
}

let count = 0;

/** Writes a request's body to a file; `use` may read it as long as its stream lasts. */
export async function* uploaded<T>(
  uploads: string,
  call: Call,
  body: unknown,
  use: (path: string) => Promise<AsyncIterable<T>>,
): AsyncGenerator<T> {
  count += 1;
  const path = join(uploads, `upload-${count}.tar`);
  try {
    await pipeline(bodyOf(body), createWriteStream(path, { flags: "wx", mode: 0o600 }), { signal: call.signal });
    yield* await use(path);
  } catch (error) {
    throw isTsboxError(error) ? ofUpload(error, path) : error;
  } finally {
    await rm(path, { force: true });
  }
}
