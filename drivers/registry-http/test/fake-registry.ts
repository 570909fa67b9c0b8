/** A fake registry on loopback, whose faults the test selects. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Case } from "@tsbox/harness";
import { type Access, type Call, createCall, type Descriptor, type Digest, type RegistryDriver, silentLog } from "@tsbox/kernel";
import { registryDriver } from "../src/driver.ts";
import { Connections } from "../src/internal/connections.ts";

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;
export interface Server {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** `METHOD PATH` of all requests, in order. */
  readonly asked: string[];
}

export async function serve(test: Case, handler: Handler): Promise<Server> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.cleanup(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

export const digestOf = (bytes: Uint8Array): Digest => `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
export const manifestType = "application/vnd.oci.image.manifest.v1+json";
export const manifest: Buffer = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config: {}, layers: [] }));
export const blob: Buffer = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251));
export const blobDescriptor: Descriptor = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: digestOf(blob),
  size: blob.length,
};

/** A registry without faults: repository `a/b`, tag `1`. */
export const registry: Handler = (request, response) => {
  const { url = "", headers } = request;
  if (url === "/v2/a/b/manifests/1" || url === `/v2/a/b/manifests/${digestOf(manifest)}`) {
    response.writeHead(200, {
      "content-type": manifestType,
      "content-length": manifest.length,
      "docker-content-digest": digestOf(manifest),
    });
    response.end(request.method === "HEAD" ? undefined : manifest);
  } else if (url === `/v2/a/b/blobs/${blobDescriptor.digest}`) {
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
    if (from > 0) response.writeHead(206, { "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}` });
    response.end(blob.subarray(from));
  } else {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] }));
  }
};

export function open(test: Case, certificates = "/nonexistent", answerTimeout?: number): RegistryDriver {
  const connections = new Connections();
  test.cleanup(() => connections.close());
  return registryDriver(connections, certificates, answerTimeout);
}

export const call: Call = createCall(silentLog);
export const anonymous: Access = { credentials: null, endpoints: [] };

export async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}
