/** Manifests and configs of Docker and OCI, checked: they come from strangers. */
import { type Descriptor, fail, type HealthRequest, type ImageConfig, limits, parseDigest } from "@tsbox/kernel";

export const mediaTypes = {
  index: ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"],
  manifest: ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"],
  /** A directory of the host, adopted as it is; no blob. */
  adopted: "application/vnd.tsbox.directory.v1+json",
} as const;

export interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}
/** The part of OCI's config blob that is read here. */
export interface ConfigBlob {
  readonly architecture: string;
  readonly os: string;
  readonly variant: string | null;
  readonly createdAt: number;
  readonly config: ImageConfig;
  readonly diffIds: readonly string[];
}

export const isIndex = (descriptor: Descriptor): boolean => (mediaTypes.index as readonly string[]).includes(descriptor.mediaType);

type Loose = { readonly [key: string]: unknown };

function parse(bytes: Uint8Array, what: string): Loose {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    if (typeof value === "object" && value !== null) return value as Loose;
  } catch {
    // Said below.
  }
  throw fail("DataLoss", `${what} is not JSON: the image is damaged where it comes from`);
}

function descriptor(value: unknown, what: string): Descriptor {
  const { mediaType, digest, size, platform, annotations } = (value ?? {}) as Loose;
  if (typeof mediaType !== "string" || typeof digest !== "string" || typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw fail("DataLoss", `${what} has a descriptor without mediaType, digest or size: the image is damaged where it comes from`);
  return {
    mediaType,
    digest: parseDigest(digest),
    size,
    ...(platform ? { platform: platform as NonNullable<Descriptor["platform"]> } : {}),
    ...(annotations ? { annotations: annotations as Readonly<Record<string, string>> } : {}),
  };
}

export function parseIndex(bytes: Uint8Array, what: string): readonly Descriptor[] {
  const { manifests } = parse(bytes, what);
  if (!Array.isArray(manifests)) throw fail("DataLoss", `${what} is an index without manifests`);
  if (manifests.length > limits.mostManifests) throw fail("DataLoss", `${what} is an index of more than ${limits.mostManifests} manifests`);
  return manifests.map((entry) => descriptor(entry, what));
}

export function parseManifest(bytes: Uint8Array, what: string): Manifest {
  const { config, layers, schemaVersion } = parse(bytes, what);
  if (schemaVersion === 1)
    throw fail(
      "Unsupported",
      `${what} has a manifest of Docker's schema 1, which registries gave up in 2019: push it again with a newer client`,
    );
  if (!Array.isArray(layers) || layers.length > limits.mostLayers)
    throw fail("DataLoss", `${what} has a manifest without layers, or with more than ${limits.mostLayers}`);
  return { config: descriptor(config, what), layers: layers.map((layer) => descriptor(layer, what)) };
}

export function parseConfig(bytes: Uint8Array, what: string): ConfigBlob {
  const blob = parse(bytes, what);
  const config = (blob.config ?? {}) as Loose;
  const rootfs = (blob.rootfs ?? {}) as Loose;
  const strings = (key: string): readonly string[] | null =>
    Array.isArray(config[key]) ? (config[key] as readonly unknown[]).map(String) : null;
  const keys = (key: string): readonly string[] => Object.keys((config[key] ?? {}) as object);
  const text = (key: string): string => (typeof config[key] === "string" ? (config[key] as string) : "");
  const diffIds = Array.isArray(rootfs.diff_ids) ? rootfs.diff_ids.map(String) : [];
  return {
    architecture: String(blob.architecture ?? ""),
    os: String(blob.os ?? "linux"),
    variant: typeof blob.variant === "string" ? blob.variant : null,
    createdAt: Date.parse(String(blob.created)) || 0,
    diffIds: diffIds.map((digest) => parseDigest(digest)),
    config: {
      user: text("User"),
      exposedPorts: keys("ExposedPorts"),
      env: strings("Env") ?? [],
      entrypoint: emptyAsNull(strings("Entrypoint")),
      command: emptyAsNull(strings("Cmd")),
      volumes: keys("Volumes"),
      workingDirectory: text("WorkingDir"),
      labels: Object.fromEntries(Object.entries((config.Labels ?? {}) as object).map(([key, value]) => [key, String(value)])),
      stopSignal: text("StopSignal") || null,
      healthCheck: healthOf(config.Healthcheck),
      shell: emptyAsNull(strings("Shell")),
    },
  };
}

/** Docker's own extension of OCI's config; nanoseconds there. */
function healthOf(value: unknown): HealthRequest | null {
  if (typeof value !== "object" || value === null) return null;
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = value as Loose;
  const span = (of: unknown): number | undefined => (typeof of === "number" && of > 0 ? of / 1e6 : undefined);
  return {
    test: Array.isArray(Test) ? Test.map(String) : [],
    interval: span(Interval),
    timeout: span(Timeout),
    startPeriod: span(StartPeriod),
    startInterval: span(StartInterval),
    retries: typeof Retries === "number" && Retries > 0 ? Retries : undefined,
  };
}

const emptyAsNull = (list: readonly string[] | null): readonly string[] | null => (list?.length === 0 ? null : list);
