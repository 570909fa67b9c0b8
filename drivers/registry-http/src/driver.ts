/**
 * An OCI distribution client (github.com/opencontainers/distribution-spec), for reading. Each endpoint of a reference is tried in turn
 * until one answers; the last endpoint's error is reported. The `urls` of foreign layers are never followed: all parts of an image come
 * from its registry.
 */
import { createHash } from "node:crypto";
import {
  type Access,
  type Call,
  type Descriptor,
  type Digest,
  fail,
  isTsboxError,
  limits,
  parseDigest,
  type RegistryDriver,
} from "@tsbox/kernel";
import { AnswerDeadline, answerTimeout } from "./internal/answer-deadline.ts";
import { type Asker, ask, type Question } from "./internal/ask.ts";
import { bodyBytes, discard } from "./internal/body.ts";
import type { Connections, Response } from "./internal/connections.ts";
import { type Endpoint, endpoints } from "./internal/endpoints.ts";
import { parseReference, type Reference } from "./internal/reference.ts";
import { Tokens } from "./internal/tokens.ts";

const manifestTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

/** `certificates`: a directory like /etc/docker/certs.d. `timeout`: milliseconds in which a registry must begin an answer. */
export function registryDriver(connections: Connections, certificates: string, timeout: number = answerTimeout): RegistryDriver {
  const asker: Asker = { connections, tokens: new Tokens(connections), answerTimeout: timeout };
  return {
    powers: ["names"],
    resolve: async (call, ref, access) => {
      const reference = parseReference(ref);
      return eachEndpoint(call, endpoints(reference.host, access, certificates), (endpoint) =>
        resolve(asker, call, endpoint, reference, access),
      );
    },
    fetch: async (call, ref, blob, from, access) => {
      const reference = parseReference(ref);
      return eachEndpoint(call, endpoints(reference.host, access, certificates), (endpoint) =>
        fetchFrom(asker, call, endpoint, reference, blob, from, access),
      );
    },
  };
}

async function eachEndpoint<T>(call: Call, list: readonly Endpoint[], work: (endpoint: Endpoint) => Promise<T>): Promise<T> {
  let last: unknown;
  for (const endpoint of list) {
    call.signal.throwIfAborted();
    try {
      return await work(endpoint);
    } catch (error) {
      call.signal.throwIfAborted();
      if (endpoint !== list.at(-1)) call.log.warn(`${endpoint.url} does not help: ${(error as Error).message}; asking the next`);
      last = error;
    }
  }
  throw last;
}

async function resolve(asker: Asker, call: Call, endpoint: Endpoint, reference: Reference, access: Access): Promise<Descriptor> {
  const question: Question = {
    method: "HEAD",
    path: `manifests/${reference.target}`,
    headers: { accept: manifestTypes.join(", ") },
    wanted: { kind: "manifest" },
    deadline: new AnswerDeadline(asker.answerTimeout),
  };
  const head = await ask(asker, call, endpoint, reference, access, question).catch((error: unknown) => {
    // Some registries do not support HEAD, with various errors, so the answer to GET counts. `NotFound` is final.
    if (isTsboxError(error) && error.code === "NotFound") throw error;
    return null;
  });
  call.signal.throwIfAborted();
  if (head !== null) await discard(head);
  const described = head && fromHeaders(head);
  const found =
    described ?? (await fromBody(call, reference, await ask(asker, call, endpoint, reference, access, { ...question, method: "GET" })));
  if (reference.target.includes(":") && found.digest !== reference.target)
    throw fail(
      "DataLoss",
      `${reference.host} answers ${found.digest} for ${reference.shown}: the registry or the way to it changes what it sends`,
    );
  return found;
}

const mediaTypeOf = ({ headers }: Response): string =>
  String(headers["content-type"] ?? "")
    .split(";")[0]
    ?.trim()
    .toLowerCase() ?? "";

/** Null: a header is missing or invalid. */
function fromHeaders(response: Response): Descriptor | null {
  const digest = response.headers["docker-content-digest"];
  const size = Number(response.headers["content-length"]);
  const mediaType = mediaTypeOf(response);
  if (typeof digest !== "string" || !/^sha256:[0-9a-f]{64}$/.test(digest) || !manifestTypes.includes(mediaType)) return null;
  return Number.isSafeInteger(size) && size > 0 ? { mediaType, digest: parseDigest(digest), size } : null;
}

async function fromBody(call: Call, reference: Reference, response: Response): Promise<Descriptor> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of bodyBytes(call, reference.host, response, 0)) {
    parts.push(part);
    size += part.length;
    if (size > limits.largestManifest)
      throw fail(
        "ResourceExhausted",
        `what ${reference.host} sends for ${reference.shown} is longer than ${limits.largestManifest} bytes: that is no manifest`,
      );
  }
  const bytes = Buffer.concat(parts);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
  const said = response.headers["docker-content-digest"];
  if (typeof said === "string" && said.startsWith("sha256:") && said !== digest)
    throw fail("DataLoss", `${reference.host} sends ${digest} and calls it ${said}: the registry or the way to it changes what it sends`);
  const type = mediaTypeOf(response);
  return { mediaType: manifestTypes.includes(type) ? type : sniff(bytes, reference), digest, size };
}

/** For registries that answer text/plain for everything. */
function sniff(bytes: Buffer, reference: Reference): string {
  try {
    const { mediaType, manifests, config } = JSON.parse(bytes.toString()) as Readonly<Record<string, unknown>>;
    if (typeof mediaType === "string" && manifestTypes.includes(mediaType)) return mediaType;
    if (Array.isArray(manifests)) return "application/vnd.oci.image.index.v1+json";
    if (config !== undefined) return "application/vnd.oci.image.manifest.v1+json";
  } catch {
    // The error is thrown below.
  }
  throw fail("DataLoss", `what ${reference.host} sends for ${reference.shown} is no manifest: is it a registry?`);
}

async function fetchFrom(
  asker: Asker,
  call: Call,
  endpoint: Endpoint,
  reference: Reference,
  blob: Descriptor,
  from: number,
  access: Access,
): Promise<AsyncIterable<Uint8Array>> {
  const manifest = manifestTypes.includes(blob.mediaType);
  const question: Question = {
    method: "GET",
    path: `${manifest ? "manifests" : "blobs"}/${parseDigest(blob.digest)}`,
    headers: manifest ? { accept: blob.mediaType } : {},
    wanted: manifest ? { kind: "manifest" } : { kind: "blob", digest: blob.digest },
    deadline: new AnswerDeadline(asker.answerTimeout),
  };
  const ranged = from > 0 ? { ...question, headers: { ...question.headers, range: `bytes=${from}-` }, also: [416] } : question;
  let response = await ask(asker, call, endpoint, reference, access, ranged);
  const starts = /^bytes (\d+)-/.exec(String(response.headers["content-range"] ?? ""))?.[1];
  // A range other than the requested one is useless.
  if (response.statusCode === 416 || (response.statusCode === 206 && Number(starts) !== from)) {
    await discard(response);
    response = await ask(asker, call, endpoint, reference, access, question);
  }
  const isPart = response.statusCode === 206;
  await checkLength(reference.host, blob, response, isPart ? from : 0);
  return bodyBytes(call, reference.host, response, isPart ? 0 : from);
}

/** A body whose length differs from its descriptor is not downloaded, and a retry does not help. */
async function checkLength(host: string, blob: Descriptor, response: Response, before: number): Promise<void> {
  const said = response.headers["content-length"];
  if (typeof said !== "string" || before + Number(said) === blob.size) return;
  await discard(response);
  throw fail(
    "DataLoss",
    `${host} sends ${before + Number(said)} bytes for ${blob.digest}, which is said to have ${blob.size}: the image is damaged where it comes from`,
  );
}
