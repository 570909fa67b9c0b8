/** The registry of the registry suite: one image over HTTP, at the loopback. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type RegistrySource, testImage } from "@tsbox/conformance";
import type { Digest } from "@tsbox/kernel";

export async function registry(): Promise<RegistrySource> {
  const { manifest, blobs } = testImage();
  let isSilent = false;
  const held: ServerResponse[] = [];
  const server = createServer((request, response) => {
    if (isSilent) return void held.push(response);
    const [, kind, name = ""] = /^\/v2\/team\/app\/(manifests|blobs)\/(.+)$/.exec(request.url ?? "") ?? [];
    const digest = (kind === "manifests" && name === "1" ? manifest.digest : name) as Digest;
    const bytes = kind === "manifests" && digest !== manifest.digest ? undefined : blobs.get(digest);
    if (bytes === undefined) {
      response.writeHead(404, { "content-type": "application/json" });
      const code = kind === "blobs" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN";
      return void response.end(JSON.stringify({ errors: [{ code, message: "unknown" }] }));
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    response.writeHead(from > 0 ? 206 : 200, {
      "content-type": kind === "manifests" ? manifest.mediaType : "application/octet-stream",
      "content-length": bytes.length - from,
      "docker-content-digest": digest,
      ...(from > 0 && { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    response.end(request.method === "HEAD" ? undefined : bytes.subarray(from));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    config: { certificates: "/nonexistent" },
    ref: `${host}/team/app:1`,
    missing: `${host}/team/app:2`,
    malformed: ["", "app", `${host}/UPPER:1`, `${host}/a/../b:1`, `${host}/app:bad tag`],
    access: { credentials: null, endpoints: [{ url: `http://${host}`, insecure: true, certificates: null }] },
    silence: async () => {
      isSilent = true;
    },
    resume: async () => {
      isSilent = false;
      for (const response of held.splice(0)) response.destroy();
    },
    close: () => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
