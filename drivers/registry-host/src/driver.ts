/**
 * `host:DIRECTORY`: an image of a directory of this machine. Its base is the directory itself, adopted by the storage driver; its only
 * layer hides files with secrets. That is hygiene, not a security boundary: changes in the directory show through while it is mounted.
 */
import { createHash } from "node:crypto";
import { arch } from "node:os";
import { type Access, type Call, type Descriptor, type Digest, fail, type RegistryDriver } from "@tsbox/kernel";
import { maskLayer } from "./internal/masks.ts";

const adopted = "application/vnd.tsbox.directory.v1+json";
const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

interface Made {
  readonly manifest: Descriptor;
  readonly blobs: ReadonlyMap<string, Uint8Array>;
}

/**
 * The number of states of a directory that are remembered: a resolved state can be fetched even if the directory has changed, and has been
 * resolved again, since.
 */
const remembered = 8;

/** `hidden`: directories of the engine itself. */
export function hostDriver(hidden: readonly string[]): RegistryDriver {
  /** By directory, the newest first. */
  const made = new Map<string, readonly Made[]>();
  const make = async (directory: string): Promise<Made> => {
    if (!directory.startsWith("/"))
      throw fail("InvalidArgument", `host:${directory}: give a directory by its absolute path, such as host:/`);
    const layer = await maskLayer(directory, hidden);
    const config = json({
      architecture: architectures[arch()] ?? arch(),
      os: "linux",
      config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["/bin/sh"], WorkingDir: "/" },
      rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
    });
    const manifest = json({
      schemaVersion: 2,
      mediaType: adopted,
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
      annotations: { "io.tsbox.directory": directory },
    });
    const whole: Made = {
      manifest: { ...descriptor(adopted, manifest), annotations: { "io.tsbox.directory": directory } },
      blobs: new Map([config, manifest, layer].map((bytes) => [digestOf(bytes), bytes])),
    };
    const others = (made.get(directory) ?? []).filter((one) => one.manifest.digest !== whole.manifest.digest);
    made.set(directory, [whole, ...others].slice(0, remembered));
    return whole;
  };
  return {
    powers: ["directories", "local"],
    resolve: async (call: Call, ref: string, _access: Access) => {
      call.signal.throwIfAborted();
      return (await make(ref)).manifest;
    },
    fetch: async (call: Call, ref: string, blob: Descriptor, from: number) => {
      call.signal.throwIfAborted();
      const known = made.get(ref) ?? [await make(ref)];
      const bytes = known.find((one) => one.blobs.has(blob.digest))?.blobs.get(blob.digest);
      if (bytes === undefined)
        throw fail("NotFound", `host:${ref} has no blob ${blob.digest}: it has changed since it was looked at; try again`);
      return once(bytes.subarray(from));
    },
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const digestOf = (bytes: Uint8Array): Digest => `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
const descriptor = (mediaType: string, bytes: Uint8Array): Descriptor => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
