/** Runs the story in each contract's doc comment with the reference driver of that kind. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { suite } from "@tsbox/harness";
import {
  createCall,
  type Digest,
  type Endpoint,
  isTsboxError,
  type LogSource,
  type Mount,
  type Network,
  newContainerId,
  newEndpointId,
  newNetworkId,
  type OciSpec,
  silentLog,
} from "@tsbox/kernel";
import { ReferenceExec } from "../src/reference/exec.ts";
import { ReferenceLog } from "../src/reference/log.ts";
import { makeMemoryWorld } from "../src/reference/memory-world.ts";
import { memoryHost, ReferenceNetwork } from "../src/reference/network.ts";
import { ReferenceRegistry } from "../src/reference/registry.ts";
import { ReferenceStorage } from "../src/reference/storage.ts";
import { makeMemoryVolumes, ReferenceVolumes } from "../src/reference/volume.ts";

const test = suite("stories of the contracts");
const call = createCall(silentLog);

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

/** The names that every story may use. */
const words = {
  call,
  expect: (actual: unknown, expected: unknown) => assert.deepEqual(actual, expected),
  refused: (promise: Promise<unknown>, code: string) => assert.rejects(promise, (error) => isTsboxError(error) && error.code === code),
  all,
  text: async (stream: AsyncIterable<Uint8Array>): Promise<string> => Buffer.concat(await all(stream)).toString(),
  bytes: (text: string): Uint8Array => Buffer.from(text),
};

/** Runs the story of a contract with these additional names. */
async function runStory(contract: string, names: Readonly<Record<string, unknown>>): Promise<void> {
  const source = readFileSync(new URL(`../../kernel/src/contract/${contract}.ts`, import.meta.url), "utf8");
  const story = /\* ```ts\n(.*?)\* ```\n/s.exec(source)?.[1]?.replaceAll(/^ \* ?/gm, "") ?? "";
  assert.ok(story.includes("driver."), `${contract}.ts has no story`);
  const known: Readonly<Record<string, unknown>> = { ...words, ...names };
  const code = stripTypeScriptTypes(`export default async ({ ${Object.keys(known).join(", ")} }) => {\n${story}\n};`);
  const { default: run } = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as {
    default(names: unknown): Promise<void>;
  };
  await run(known);
}

test("storage", async () => {
  const world = await makeMemoryWorld((disk) => new ReferenceStorage(disk));
  await runStory("storage", {
    driver: world.driver,
    write: (mounts: readonly Mount[], path: string, content: string) => world.edit(mounts, [{ op: "write", path, content }]),
    read: async (mounts: readonly Mount[], path: string) => (await world.read(mounts)).get(path)?.content,
  });
});

test("exec", () => {
  const spec: OciSpec = { ociVersion: "1.2.0", process: { args: ["true"], cwd: "/" }, root: { path: "/root" } } as unknown as OciSpec;
  return runStory("exec", { driver: new ReferenceExec(), id: newContainerId(), directory: "/nowhere", spec, rootfs: [] });
});

test("network", () => {
  const network: Network = {
    id: newNetworkId(),
    name: "lan",
    subnets: [{ cidr: "10.1.0.0/24", gateway: "10.1.0.1" }],
    internal: false,
    options: {},
  };
  const endpoint: Endpoint = {
    id: newEndpointId(),
    container: newContainerId(),
    netns: "/nowhere",
    interface: "eth0",
    addresses: ["10.1.0.2/24"],
    mac: null,
    ports: [],
  };
  const host = memoryHost();
  host.namespaces.set(endpoint.netns, { loopback: false, interfaces: new Map() });
  return runStory("network", { driver: new ReferenceNetwork(host), network, endpoint });
});

test("registry", () => {
  const blobs = new Map<string, Uint8Array>();
  const keep = (mediaType: string, text: string): { mediaType: string; digest: Digest; size: number } => {
    const digest = `sha256:${createHash("sha256").update(text).digest("hex")}` as Digest;
    blobs.set(digest, Buffer.from(text));
    return { mediaType, digest, size: text.length };
  };
  const layer = keep("application/vnd.oci.image.layer.v1.tar", "a layer's bytes");
  const manifest = keep("application/vnd.oci.image.manifest.v1+json", JSON.stringify({ layers: [layer] }));
  const driver = new ReferenceRegistry(new Map([["app:1", manifest]]), blobs);
  return runStory("registry", { driver, access: { credentials: null, endpoints: [] } });
});

test("volume", async () => {
  const world = await makeMemoryVolumes((disk) => new ReferenceVolumes(disk));
  const [first, second] = world.users;
  await runStory("volume", {
    driver: world.driver,
    first,
    second,
    write: world.write,
    read: async (mount: Mount, name: string) => (await world.read(mount))[name],
  });
});

test("log", () => {
  const driver = new ReferenceLog({ state: "up", received: [] });
  const source: LogSource = {
    container: newContainerId(),
    name: "web",
    imageName: "app",
    imageId: "sha256:0",
    tag: "web",
    attributes: {},
    options: {},
  };
  return runStory("log", { driver, source, received: async () => driver.sink.received.map(({ line }) => line).join("") });
});
