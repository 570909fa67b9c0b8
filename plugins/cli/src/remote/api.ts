/** The service `api` over HTTP: commands do not know where the engine is. */
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { type ApiService, type Call, fail, isTsboxError, type Json, type ProgressLine, type Strings } from "@tsbox/kernel";
import { remoteFiles } from "./files.ts";
import { filtersJson } from "./filters.ts";
import type { Remote } from "./http.ts";
import { remoteStorage } from "./storage.ts";

/** Names contain slashes, which are not escaped. */
const name = (text: string): string => text.split("/").map(encodeURIComponent).join("/").replaceAll("%3A", ":").replaceAll("%40", "@");
const authHeader = (auth: Strings | undefined): Readonly<Record<string, string>> => ({
  "x-registry-auth": Buffer.from(JSON.stringify(auth ?? {})).toString("base64url"),
});

/** The archive is on the user's host, so its bytes are sent. */
const loadStream = (
  remote: Remote,
  call: Call,
  stream: Readable,
  query: { readonly platform?: string | undefined; readonly quiet?: boolean | undefined },
): Promise<AsyncIterable<ProgressLine>> =>
  remote.lines(call, "POST", "/images/load", { query, stream, headers: { "content-type": "application/x-tar" } });

export function remoteApi(remote: Remote): ApiService {
  const on = (id: string, verb: string): string => `/containers/${encodeURIComponent(id)}/${verb}`;
  const post = async (call: Call, path: string, query: Parameters<Remote["send"]>[3] = {}): Promise<number> => {
    const response = await remote.send(call, "POST", path, query);
    response.resume();
    return response.statusCode ?? 0;
  };
  return {
    ...remoteFiles(remote),
    ...remoteStorage(remote),
    version: (call) => remote.json(call, "GET", "/version"),
    info: (call) => remote.json(call, "GET", "/info"),
    plugins: (call) => remote.json(call, "GET", "/tsbox/v1/plugins"),
    events: (call, { since, until, filters }) =>
      remote.lines(call, "GET", "/events", { query: { since, until, filters: filtersJson(filters) } }),

    containerCreate: (call, body, { name, platform }) =>
      remote.json(call, "POST", "/containers/create", { query: { name, platform }, json: body }),
    containerStart: async (call, id) => {
      const answer = await remote.send(call, "POST", on(id, "start")).catch((error: unknown) => {
        throw startFailure(error);
      });
      answer.resume();
      const said = answer.headers["tsbox-warnings"];
      const warnings = typeof said === "string" ? (JSON.parse(decodeURIComponent(said)) as readonly string[]) : [];
      return { started: answer.statusCode !== 304, timings: [], warnings };
    },
    containerStop: async (call, id, { timeout, signal }) => ({
      stopped: (await post(call, on(id, "stop"), { query: { t: timeout, signal } })) !== 304,
    }),
    containerRestart: async (call, id, { timeout, signal }) =>
      void (await post(call, on(id, "restart"), { query: { t: timeout, signal } })),
    containerKill: async (call, id, signal) => void (await post(call, on(id, "kill"), { query: { signal } })),
    containerPause: async (call, id) => void (await post(call, on(id, "pause"))),
    containerUnpause: async (call, id) => void (await post(call, on(id, "unpause"))),
    containerRename: async (call, id, to) => void (await post(call, on(id, "rename"), { query: { name: to } })),
    containerResize: async (call, id, rows, columns) => void (await post(call, on(id, "resize"), { query: { h: rows, w: columns } })),
    containerWait: (call, id, condition) => remote.json(call, "POST", on(id, "wait"), { query: { condition } }),
    containerRemove: async (call, id, { force, volumes }) => {
      (await remote.send(call, "DELETE", `/containers/${encodeURIComponent(id)}`, { query: { force, v: volumes } })).resume();
    },
    containerInspect: (call, id, query) => remote.json(call, "GET", on(id, "json"), { query }),
    containerList: (call, { filters, ...query }) =>
      remote.json(call, "GET", "/containers/json", { query: { ...query, filters: filtersJson(filters) } }),
    containerLogs: async (call, id, query) => {
      const { Config } = await remote.json<{ readonly Config?: { readonly Tty?: boolean } }>(call, "GET", on(id, "json"));
      const frames = await remote.send(call, "GET", on(id, "logs"), { query });
      return { terminal: Config?.Tty === true, frames };
    },

    containerTop: (call, id, psArgs) => remote.json(call, "GET", on(id, "top"), { query: { ps_args: psArgs } }),
    containerStats: (call, id, { stream, oneShot }) =>
      remote.lines(call, "GET", on(id, "stats"), { query: { stream: stream === false ? "0" : "1", "one-shot": oneShot } }),
    containerUpdate: (call, id, body) => remote.json(call, "POST", on(id, "update"), { json: body }),
    execCreate: (call, id, body) => remote.json(call, "POST", on(id, "exec"), { json: body }),
    // Without an attached client: session.ts hijacks the connection for those.
    execStart: async (call, id) =>
      void (await post(call, `/exec/${id}/start`, { json: { Detach: true } }).catch((error: unknown) => {
        throw startFailure(error);
      })),
    execResize: async (call, id, rows, columns) => void (await post(call, `/exec/${id}/resize`, { query: { h: rows, w: columns } })),
    execInspect: (call, id) => remote.json(call, "GET", `/exec/${id}/json`),

    imageList: (call, { filters, ...query }) =>
      remote.json(call, "GET", "/images/json", { query: { ...query, filters: filtersJson(filters) } }),
    imageInspect: (call, image, query = {}) => remote.json(call, "GET", `/images/${name(image)}/json`, { query }),
    imageHistory: (call, image, query = {}) => remote.json(call, "GET", `/images/${name(image)}/history`, { query }),
    imagePull: (call, image, { tag, platform, auth }) =>
      remote.lines(call, "POST", "/images/create", { query: { fromImage: image, tag, platform }, headers: authHeader(auth) }),
    imageLoad: (call, path, options = {}) => loadStream(remote, call, path === "-" ? process.stdin : createReadStream(path), options),
    imageTag: async (call, image, repo, tag) => void (await post(call, `/images/${name(image)}/tag`, { query: { repo, tag } })),
    imageRemove: (call, image, query) => remote.json(call, "DELETE", `/images/${name(image)}`, { query }),

    networkList: (call, { filters }) => remote.json(call, "GET", "/networks", { query: { filters: filtersJson(filters) } }),
    networkInspect: (call, network) => remote.json(call, "GET", `/networks/${encodeURIComponent(network)}`),
    networkCreate: (call, body: Json) => remote.json(call, "POST", "/networks/create", { json: body }),
    networkConnect: async (call, network, body) => {
      (await remote.send(call, "POST", `/networks/${encodeURIComponent(network)}/connect`, { json: body })).resume();
    },
    networkDisconnect: async (call, network, body) => {
      (await remote.send(call, "POST", `/networks/${encodeURIComponent(network)}/disconnect`, { json: body })).resume();
    },
    networkPrune: (call, { filters }) => remote.json(call, "POST", "/networks/prune", { query: { filters: filtersJson(filters) } }),
    volumeList: (call, { filters }) => remote.json(call, "GET", "/volumes", { query: { filters: filtersJson(filters) } }),
    volumeInspect: (call, volume) => remote.json(call, "GET", `/volumes/${encodeURIComponent(volume)}`),
    volumeCreate: (call, body: Json) => remote.json(call, "POST", "/volumes/create", { json: body }),
    volumeRemove: async (call, volume, { force }) => {
      (await remote.send(call, "DELETE", `/volumes/${encodeURIComponent(volume)}`, { query: { force } })).resume();
    },
    volumePrune: (call, { filters }) => remote.json(call, "POST", "/volumes/prune", { query: { filters: filtersJson(filters) } }),

    networkRemove: async (call, network, { force } = {}) => {
      (await remote.send(call, "DELETE", `/networks/${encodeURIComponent(network)}`, { query: { force } })).resume();
    },
  };
}

/** HTTP has one status for all errors of a container's command; docker, too, recognizes 126 and 127 by the message. */
function startFailure(error: unknown): unknown {
  if (!isTsboxError(error) || error.code !== "InvalidArgument") return error;
  if (/executable file not found|no such file or directory/.test(error.message)) return fail("CommandNotFound", error.message);
  return /permission denied|is a directory|exec format error/.test(error.message) ? fail("NotExecutable", error.message) : error;
}
