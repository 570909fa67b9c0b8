/** The part of the API for storage drivers, over HTTP. */
import type { StorageApi } from "@tsbox/kernel";
import type { Remote } from "./http.ts";

export function remoteStorage(remote: Remote): StorageApi {
  return {
    storageList: (call) => remote.json(call, "GET", "/tsbox/v1/storage"),
    storagePlan: (call, from, to, query) => remote.json(call, "GET", "/tsbox/v1/storage/plan", { query: { from, to, ...query } }),
    storageMigrate: (call, from, to, query) => remote.lines(call, "POST", "/tsbox/v1/storage/migrate", { query: { from, to, ...query } }),
  };
}
