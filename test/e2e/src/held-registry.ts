/** A registry of the test on loopback, whose images consist of noise, and which stops in the middle of one blob. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Case, temporaryDirectory } from "@tsbox/harness";

const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const types = { manifest: "application/vnd.oci.image.manifest.v1+json", config: "application/vnd.oci.image.config.v1+json" };

export interface Layer {
  readonly diffId: string;
  readonly digest: string;
  readonly bytes: Buffer;
}

export function layer(t: Case, name: string, size: number): Layer {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, "srv"));
  // Noise can't be compressed, so half of the layer contains half of its files.
  let noise = createHash("sha512").update(name).digest();
  const parts: Buffer[] = [];
  for (let at = 0; at < size; at += noise.length) {
    noise = createHash("sha512").update(noise).digest();
    parts.push(noise);
  }
  writeFileSync(join(directory, "srv", name), Buffer.concat(parts));
  const tar = execFileSync("tar", ["-C", directory, "--owner=0", "--group=0", "-c", "srv"], { maxBuffer: 1 << 28 });
  const bytes = gzipSync(tar, { level: 1 });
  return { diffId: digestOf(tar), digest: digestOf(bytes), bytes };
}

export interface Registry {
  readonly host: string;
  /** Resolves when half of the held blob has been sent. */
  readonly halfSent: Promise<void>;
  /** Sends the rest. */
  release(): void;
}

/** Returns whether it has answered the request itself. */
export type Guard = (request: IncomingMessage, response: ServerResponse) => boolean;

/** `images`: layers by name. The blob `held` stops at its half; null: no blob stops. `guard` sees each request first. */
export async function registry(
  t: Case,
  images: Readonly<Record<string, readonly Layer[]>>,
  held: string | null = null,
  guard: Guard = () => false,
): Promise<Registry> {
  const blobs = new Map<string, Buffer>();
  const manifests = new Map<string, Buffer>();
  for (const [name, layers] of Object.entries(images)) {
    for (const { digest, bytes } of layers) blobs.set(digest, bytes);
    const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
    const config = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", config: { Labels: { name } }, rootfs }));
    blobs.set(digestOf(config), config);
    const manifest = {
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, digest: digestOf(config), size: config.length },
      layers: layers.map(({ digest, bytes }) => ({
        mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
        digest,
        size: bytes.length,
      })),
    };
    manifests.set(name, Buffer.from(JSON.stringify(manifest)));
  }
  const { promise: halfSent, resolve: reached } = Promise.withResolvers<void>();
  const waiting: (() => void)[] = [];
  let released = false;
  const send = (response: ServerResponse, bytes: Buffer, isHeld: boolean): void => {
    response.writeHead(200, { "content-length": bytes.length });
    if (!isHeld || released) return void response.end(bytes);
    const half = bytes.length >> 1;
    response.write(bytes.subarray(0, half), () => reached());
    waiting.push(() => response.end(bytes.subarray(half)));
  };
  const server = createServer((request, response) => {
    if (guard(request, response)) return;
    const [, name, kind, what] = /^\/v2\/([a-z]+)\/(manifests|blobs)\/(.+)$/.exec(request.url ?? "") ?? [];
    if (name === undefined || what === undefined) return void response.end("{}");
    if (kind === "blobs") {
      const bytes = blobs.get(what);
      return bytes === undefined ? void response.writeHead(404).end() : send(response, bytes, what === held);
    }
    const bytes = manifests.get(name) ?? Buffer.alloc(0);
    response.writeHead(200, { "content-type": types.manifest, "docker-content-digest": digestOf(bytes), "content-length": bytes.length });
    response.end(request.method === "HEAD" ? undefined : bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.cleanup(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const release = (): void => {
    released = true;
    for (const rest of waiting.splice(0)) rest();
  };
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, halfSent, release };
}
