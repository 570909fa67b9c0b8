/** The part of the API for files, archives and disk space, over HTTP. */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { type FilesApi, fail, type Json } from "@tsbox/kernel";
import { filtersJson } from "./filters.ts";
import type { Remote } from "./http.ts";

export function remoteFiles(remote: Remote): FilesApi {
  const on = (id: string, verb: string): string => `/containers/${encodeURIComponent(id)}/${verb}`;
  return {
    containerPathStat: async (call, id, path) => {
      const response = await remote.send(call, "HEAD", on(id, "archive"), { query: { path } }).catch((error: unknown) => {
        throw noSuchFile(error, id, path);
      });
      response.resume();
      return statOf(response.headers["x-docker-container-path-stat"]);
    },
    containerArchive: async (call, id, path) => {
      const response = await remote.send(call, "GET", on(id, "archive"), { query: { path } });
      return { stat: statOf(response.headers["x-docker-container-path-stat"]), tar: response };
    },
    containerExtract: async (call, id, path, tar, query) => {
      const response = await remote.send(call, "PUT", on(id, "archive"), {
        query: { path, ...query },
        stream: Readable.from(tar, { objectMode: false }),
        headers: { "content-type": "application/x-tar" },
      });
      response.resume();
    },
    containerChanges: async (call, id) => (await remote.json<readonly Json[] | null>(call, "GET", on(id, "changes"))) ?? [],
    containerExport: (call, id) => remote.send(call, "GET", on(id, "export")),
    containerCommit: (call, container, body, { changes, pause, ...query }) =>
      remote.json(call, "POST", "/commit", {
        query: { container, ...query, pause: pause === false ? "0" : "1", changes: changes ?? [] },
        json: body ?? {},
      }),
    containerPrune: (call, { filters }) => remote.json(call, "POST", "/containers/prune", { query: { filters: filtersJson(filters) } }),
    imageImport: (call, source, { shown: _shown, changes, ...query }) => {
      const isUrl = /^https?:\/\//.test(source);
      return remote.lines(call, "POST", "/images/create", {
        query: { fromSrc: isUrl ? source : "-", ...query, changes: changes ?? [] },
        ...(isUrl
          ? {}
          : { stream: source === "-" ? process.stdin : createReadStream(source), headers: { "content-type": "application/x-tar" } }),
      });
    },
    imageSave: (call, names, query) => remote.send(call, "GET", "/images/get", { query: { names, ...query } }),
    imagePrune: (call, { filters }) => remote.json(call, "POST", "/images/prune", { query: { filters: filtersJson(filters) } }),
    systemCheck: (call, { repair, auths }) =>
      remote.json(call, "POST", "/tsbox/check", {
        query: { repair: repair === true },
        ...(auths === undefined ? {} : { headers: { "x-registry-config": Buffer.from(JSON.stringify(auths)).toString("base64url") } }),
      }),
    systemDiskUsage: (call, { types }) => remote.json(call, "GET", "/system/df", { query: { type: types ?? [] } }),
  };
}

function statOf(header: string | string[] | undefined): Json {
  if (typeof header !== "string") throw fail("Internal", "the engine did not say what is at that path");
  return JSON.parse(Buffer.from(header, "base64").toString()) as Json;
}

/** A HEAD answer has no body with an error message. */
function noSuchFile(error: unknown, id: string, path: string): unknown {
  return (error as { readonly code?: unknown }).code === "NotFound"
    ? fail("NotFound", `Could not find the file ${path} in container ${id}`)
    : error;
}
