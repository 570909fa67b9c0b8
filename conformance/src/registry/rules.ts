/** The rules of the registry contract, one for each promise. */
import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { createCall, type Descriptor, type Digest, deriveCall, isTsboxError, silentLog } from "@tsbox/kernel";
import { expect, expectCode, type Rule } from "../rule.ts";
import type { RegistrySource, RegistryWorld } from "./world.ts";

/** Milliseconds that a driver has to end a call whose signal has aborted. */
const grace = 5_000;
const noSource = ({ source }: RegistryWorld): string | null =>
  source === null ? "the suite has no registry for this driver: give one with the library" : null;
const neverSilent = (world: RegistryWorld): string | null =>
  noSource(world) ?? (world.source?.silence === null ? "its registry can't fall silent" : null);

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const strange = `sha256:${"0".repeat(64)}` as Digest;

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}
const there = ({ source }: RegistryWorld): RegistrySource => {
  if (source === null) throw new Error("there is no registry");
  return source;
};
async function fetched(world: RegistryWorld, blob: Descriptor, from = 0): Promise<Buffer> {
  const { ref, access } = there(world);
  return read(await world.driver.fetch(world.call, ref, blob, from, access));
}
/** The manifests and blobs of the image, from the resolved descriptor on. */
async function blobsOf(
  world: RegistryWorld,
): Promise<{ readonly manifests: readonly Descriptor[]; readonly blobs: readonly Descriptor[] }> {
  const { ref, access } = there(world);
  const waiting = [await world.driver.resolve(world.call, ref, access)];
  const manifests: Descriptor[] = [];
  const blobs: Descriptor[] = [];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    manifests.push(next);
    const content = JSON.parse((await fetched(world, next)).toString()) as {
      readonly manifests?: readonly Descriptor[];
      readonly config?: Descriptor;
      readonly layers?: readonly Descriptor[];
    };
    waiting.push(...(content.manifests ?? []));
    blobs.push(...(content.config === undefined ? [] : [content.config]), ...(content.layers ?? []));
  }
  return { manifests, blobs };
}
async function largest(world: RegistryWorld): Promise<Descriptor> {
  const [blob] = [...(await blobsOf(world)).blobs].sort((a, b) => b.size - a.size);
  expect(blob !== undefined, "the image has no blobs");
  return blob;
}
/** Ends with the error's code, or "no error"; in any case in time. */
async function outcome(work: Promise<unknown>, milliseconds: number): Promise<string> {
  const timer = new AbortController();
  const ended = work.then(
    () => "no error",
    (error: unknown) => (isTsboxError(error) ? error.code : `an error that is not ours: ${String(error)}`),
  );
  try {
    return await Promise.race([ended, pause(milliseconds, "no answer", { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}

export const registryRules: readonly Rule<RegistryWorld>[] = [
  {
    id: "registry/resolve",
    contract: "RegistryDriver.resolve",
    title: "an image is a descriptor with a media type, a digest and a size",
    unless: noSource,
    async run(world) {
      const { ref, access } = there(world);
      const { mediaType, digest, size } = await world.driver.resolve(world.call, ref, access);
      expect(typeof mediaType === "string" && mediaType.includes("/"), `its media type is ${mediaType}`);
      expect(/^sha256:[0-9a-f]{64}$/.test(digest), `its digest is ${digest}`);
      expect(Number.isSafeInteger(size) && size > 0, `its size is ${size}`);
    },
  },
  {
    id: "registry/manifest",
    contract: "RegistryDriver.fetch",
    title: "a manifest is what its descriptor says, to the byte",
    unless: noSource,
    async run(world) {
      for (const manifest of (await blobsOf(world)).manifests) {
        const bytes = await fetched(world, manifest);
        expect(bytes.length === manifest.size, `${bytes.length} bytes came of a manifest of ${manifest.size}`);
        expect(digestOf(bytes) === manifest.digest, `the manifest's digest is ${digestOf(bytes)}`);
      }
    },
  },
  {
    id: "registry/blobs",
    contract: "RegistryDriver.fetch",
    title: "config and layers are what their descriptors say, to the byte",
    unless: noSource,
    async run(world) {
      const { blobs } = await blobsOf(world);
      expect(blobs.length >= 2, `the image has ${blobs.length} blobs`);
      for (const blob of blobs) {
        const bytes = await fetched(world, blob);
        expect(bytes.length === blob.size && digestOf(bytes) === blob.digest, `${bytes.length} bytes came of ${blob.size}, or others`);
      }
    },
  },
  {
    id: "registry/range",
    contract: "Starts at byte `from`",
    title: "a blob may be read from any byte on",
    unless: noSource,
    async run(world) {
      const blob = await largest(world);
      const whole = await fetched(world, blob);
      for (const from of [1, 511, Math.floor(blob.size / 2), blob.size - 1])
        expect(whole.subarray(from).equals(await fetched(world, blob, from)), `from byte ${from} on something else came`);
    },
  },
  {
    id: "registry/same-again",
    contract: "RegistryDriver.resolve",
    title: "an image that has not changed is the same when it is asked for again, also after the engine's death",
    unless: noSource,
    async run(world) {
      const { ref, access } = there(world);
      const first = await world.driver.resolve(world.call, ref, access);
      for (let round = 0; round < 3; round += 1) {
        const { digest, size } = await world.driver.resolve(world.call, ref, access);
        expect(digest === first.digest && size === first.size, "it is another one");
        if (round === 1) await world.crash();
      }
      expect((await fetched(world, first)).length === first.size, "its manifest is not there after the engine's death");
    },
  },
  {
    id: "registry/ref-unknown",
    contract: 'refused(driver.resolve(call, "nosuch:1", access), "NotFound")',
    title: "an image that is not there is NotFound",
    unless: noSource,
    async run(world) {
      const { missing, access } = there(world);
      await expectCode(world.driver.resolve(world.call, missing, access), "NotFound");
    },
  },
  {
    id: "registry/ref-malformed",
    contract: "is the driver's ref, in a form of its own",
    title: "what is no ref of this driver is InvalidArgument",
    unless: noSource,
    async run(world) {
      const { malformed, access } = there(world);
      for (const ref of malformed) await expectCode(world.driver.resolve(world.call, ref, access), "InvalidArgument");
    },
  },
  {
    id: "registry/blob-unknown",
    contract: "`NotFound` and `PermissionDenied` come before the first byte",
    title: "a blob that the image does not have is NotFound before anything of it comes",
    unless: noSource,
    async run(world) {
      const { ref, access } = there(world);
      const { driver, call } = world;
      const blob: Descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: strange, size: 10 };
      let came = 0;
      const work = async (): Promise<void> => {
        for await (const bytes of await driver.fetch(call, ref, blob, 0, access)) came += bytes.length;
      };
      await expectCode(work(), "NotFound");
      expect(came === 0, `${came} bytes came before`);
    },
  },
  {
    id: "registry/side-by-side",
    contract: "RegistryDriver.fetch",
    title: "several readers of one blob and of others each get all of it",
    unless: noSource,
    async run(world) {
      const { blobs } = await blobsOf(world);
      const wanted = [...blobs, ...blobs, ...blobs];
      const all = await Promise.all(wanted.map((blob) => fetched(world, blob)));
      for (const [at, bytes] of all.entries()) expect(digestOf(bytes) === wanted[at]?.digest, "one of them got something else");
    },
  },
  {
    id: "registry/abandoned",
    contract: "RegistryDriver.fetch",
    title: "readers that leave in the middle hold up nobody after them",
    unless: noSource,
    async run(world) {
      const { ref, access } = there(world);
      const blob = await largest(world);
      for (let round = 0; round < 20; round += 1) for await (const _ of await world.driver.fetch(world.call, ref, blob, 0, access)) break;
      const whole = fetched(world, blob);
      expect((await outcome(whole, 20_000)) === "no error", "the next reader gets nothing");
      expect(digestOf(await whole) === blob.digest, "the next reader gets something else");
    },
  },
  {
    id: "registry/canceled",
    contract: "call: Call.signal",
    title: "a call that is canceled before is refused by both verbs",
    unless: noSource,
    async run(world) {
      const { ref, access } = there(world);
      const manifest = await world.driver.resolve(world.call, ref, access);
      const canceled = createCall(silentLog, { signal: AbortSignal.abort() });
      await expectCode(world.driver.resolve(canceled, ref, access), "Canceled");
      await expectCode((async () => read(await world.driver.fetch(canceled, ref, manifest, 0, access)))(), "Canceled");
    },
  },
  {
    id: "registry/canceled-midway",
    contract: "call: Call.signal",
    title: "a download ends with its call, in the middle of a blob",
    unless: noSource,
    async run(world) {
      const { ref, access } = there(world);
      const blob = await largest(world);
      const controller = new AbortController();
      const call = createCall(silentLog, { signal: controller.signal });
      let came = 0;
      const work = async (): Promise<void> => {
        for await (const bytes of await world.driver.fetch(call, ref, blob, 0, access)) {
          came += bytes.length;
          controller.abort();
        }
      };
      const ended = await outcome(work(), grace + 1_000);
      // The last bytes may have been on their way.
      expect(
        ended === "Canceled" || (ended === "no error" && came === blob.size),
        `it ended with ${ended} after ${came} of ${blob.size} bytes`,
      );
    },
  },
  {
    id: "registry/silent",
    contract: "call: Call.deadline",
    title: "a registry that does not answer holds no call beyond its deadline, and the next call works when it answers again",
    unless: neverSilent,
    async run(world) {
      const source = there(world);
      const { ref, access } = source;
      const manifest = await world.driver.resolve(world.call, ref, access);
      await source.silence?.();
      const asked = world.driver.resolve(deriveCall(world.call, { timeout: 1_000 }), ref, access);
      const resolved = await outcome(asked, 1_000 + grace);
      expect(resolved === "DeadlineExceeded" || resolved === "Unavailable", `resolve ended with ${resolved}`);
      const short = deriveCall(world.call, { timeout: 1_000 });
      const got = await outcome((async () => read(await world.driver.fetch(short, ref, manifest, 0, access)))(), 1_000 + grace);
      expect(got === "DeadlineExceeded" || got === "Unavailable", `fetch ended with ${got}`);
      await source.resume();
      expect((await fetched(world, manifest)).length === manifest.size, "nothing comes afterwards");
    },
  },
  {
    id: "registry/secrets",
    contract: "never written or logged",
    title: "no error shows a password or a token",
    unless: noSource,
    async run(world) {
      const { missing, malformed, ref, access } = there(world);
      const secret = "s3cret-Pa55word";
      for (const credentials of [{ username: "somebody", password: secret }, { token: secret }]) {
        for (const asked of [missing, ref, ...malformed]) {
          const error: unknown = await world.driver.resolve(world.call, asked, { ...access, credentials }).then(
            () => null,
            (thrown: unknown) => thrown,
          );
          expect(!JSON.stringify([String(error), error]).includes(secret), `the error of ${asked} shows it`);
        }
      }
    },
  },
];
