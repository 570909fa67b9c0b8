/** Parses and checks manifests and configs of Docker and OCI, which are untrusted. */
import { type Descriptor, fail, type HealthRequest, type ImageConfig, limits, parseDigest, parseJson } from "@tsbox/kernel";
import { Fields } from "./fields.ts";

export const mediaTypes = {
  index: ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"],
  manifest: ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"],
  /** An adopted directory of the host; it has no blob. */
  adopted: "application/vnd.tsbox.directory.v1+json",
} as const;

export interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}
/** The part of OCI's config blob that this plugin reads. */
export interface ConfigBlob {
  readonly architecture: string;
  readonly os: string;
  readonly variant: string | null;
  readonly createdAt: number;
  readonly config: ImageConfig;
  readonly diffIds: readonly string[];
}

export const isIndex = (descriptor: Descriptor): boolean => (mediaTypes.index as readonly string[]).includes(descriptor.mediaType);

function parse(bytes: Uint8Array, what: string): Fields {
  let value: unknown;
  try {
    value = parseJson(Buffer.from(bytes).toString());
  } catch (error) {
    throw fail(
      "DataLoss",
      `${what} has a manifest or config that is not JSON (${(error as Error).message.slice(0, 100)}): it is damaged where it comes from`,
    );
  }
  return new Fields(value, what);
}

function descriptor(fields: Fields, what: string): Descriptor {
  const [mediaType, digest, size] = [fields.text("mediaType"), fields.text("digest"), fields.number("size")];
  if (mediaType === "" || digest === "" || !fields.has("size") || !Number.isSafeInteger(size) || size < 0)
    throw fail("DataLoss", `${what} has a descriptor without mediaType, digest or size: the image is damaged where it comes from`);
  const platform = fields.object("platform");
  const variant = platform.text("variant");
  return {
    mediaType,
    digest: parseDigest(digest),
    size,
    ...(fields.has("platform")
      ? { platform: { os: platform.text("os"), architecture: platform.text("architecture"), ...(variant === "" ? {} : { variant }) } }
      : {}),
    ...(fields.has("annotations") ? { annotations: fields.map("annotations") } : {}),
  };
}

export function parseIndex(bytes: Uint8Array, what: string): readonly Descriptor[] {
  const index = parse(bytes, what);
  if (!index.has("manifests")) throw fail("DataLoss", `${what} is an index without manifests`);
  return index.objects("manifests").map((entry) => descriptor(entry, what));
}

export function parseManifest(bytes: Uint8Array, what: string): Manifest {
  const manifest = parse(bytes, what);
  if (manifest.number("schemaVersion") === 1)
    throw fail(
      "Unsupported",
      `${what} has a manifest of Docker's schema 1, which registries gave up in 2019: push it again with a newer client`,
    );
  if (!manifest.has("layers") || manifest.list("layers", Number.POSITIVE_INFINITY).length > limits.mostLayers)
    throw fail("DataLoss", `${what} has a manifest without layers, or with more than ${limits.mostLayers}`);
  return {
    config: descriptor(manifest.object("config"), what),
    layers: manifest.objects("layers").map((layer) => descriptor(layer, what)),
  };
}

/** Checks all members that any code reads, so that a wrong type never gets into the store. */
export function parseConfig(bytes: Uint8Array, what: string): ConfigBlob {
  const blob = parse(bytes, what);
  const config = blob.object("config");
  for (const key of ["author", "comment", "docker_version"]) blob.text(key);
  for (const key of ["Image", "Hostname", "Domainname"]) config.text(key);
  config.texts("OnBuild");
  for (const step of blob.objects("history")) {
    for (const key of ["created", "created_by", "author", "comment"]) step.text(key);
    step.flag("empty_layer");
  }
  return {
    architecture: blob.text("architecture"),
    os: blob.text("os") || "linux",
    variant: blob.text("variant") || null,
    createdAt: Date.parse(blob.text("created")) || 0,
    diffIds: blob
      .object("rootfs")
      .texts("diff_ids")
      .map((digest) => parseDigest(digest)),
    config: {
      user: config.text("User"),
      exposedPorts: config.keys("ExposedPorts"),
      env: config.texts("Env"),
      entrypoint: emptyAsNull(config.texts("Entrypoint")),
      command: emptyAsNull(config.texts("Cmd")),
      volumes: config.keys("Volumes", limits.mostMounts),
      workingDirectory: config.text("WorkingDir"),
      labels: config.map("Labels"),
      stopSignal: config.text("StopSignal") || null,
      healthCheck: config.has("Healthcheck") ? healthOf(config.object("Healthcheck")) : null,
      shell: emptyAsNull(config.texts("Shell")),
    },
  };
}

/** Docker's extension of OCI's config, in nanoseconds. */
function healthOf(check: Fields): HealthRequest {
  const span = (key: string): number | undefined => (check.number(key) > 0 ? check.number(key) / 1e6 : undefined);
  return {
    test: check.texts("Test"),
    interval: span("Interval"),
    timeout: span("Timeout"),
    startPeriod: span("StartPeriod"),
    startInterval: span("StartInterval"),
    retries: check.number("Retries") > 0 ? check.number("Retries") : undefined,
  };
}

const emptyAsNull = (list: readonly string[]): readonly string[] | null => (list.length === 0 ? null : list);
