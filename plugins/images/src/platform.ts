/** Chooses the manifest of an index that fits a platform: `linux/amd64`, `linux/arm64/v8`, `arm64`. */
import { arch } from "node:os";
import { type Descriptor, fail, type Platform } from "@tsbox/kernel";

const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64", ia32: "386", arm: "arm" };
/** Other common names. */
const aliases: Readonly<Record<string, readonly [string, string | null]>> = {
  x86_64: ["amd64", null],
  "x86-64": ["amd64", null],
  aarch64: ["arm64", null],
  i386: ["386", null],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};

/** The number of platforms that one message lists. */
const mostNamed = 20;

export const hostPlatform: Platform = { os: "linux", architecture: architectures[arch()] ?? arch(), variant: null };

export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split("/");
  const [os = "", architecture = "", variant = null] = parts.length === 1 ? ["linux", parts[0]] : parts;
  if (os !== "linux" || !/^[a-z0-9_-]+$/.test(architecture) || parts.length > 3)
    throw fail(
      "InvalidArgument",
      `invalid platform "${text}": give linux/ARCHITECTURE[/VARIANT], such as linux/${hostPlatform.architecture}`,
    );
  const [known, itsVariant] = aliases[architecture] ?? [architecture, null];
  return { os, architecture: known, variant: variant ?? itsVariant };
}

export const platformText = ({ os, architecture, variant }: Platform): string => [os, architecture, variant].filter(Boolean).join("/");

/** arm64 means v8; for other architectures a missing variant fits any. */
export function fits(wanted: Platform, has: Platform): boolean {
  if (wanted.os !== has.os || wanted.architecture !== has.architecture) return false;
  const variant = (platform: Platform): string | null => platform.variant ?? (platform.architecture === "arm64" ? "v8" : null);
  return variant(wanted) === null || variant(has) === null || variant(wanted) === variant(has);
}

export function choose(manifests: readonly Descriptor[], wanted: Platform, name: string): Descriptor {
  const listed = manifests.filter((manifest) => manifest.platform !== undefined && manifest.platform.os !== "unknown");
  const of = ({ platform }: Descriptor): Platform => ({
    os: platform?.os ?? "",
    architecture: platform?.architecture ?? "",
    variant: platform?.variant ?? null,
  });
  const found = listed.find((manifest) => fits(wanted, of(manifest)));
  if (found) return found;
  // An index without platforms (a layout with one image) is unambiguous.
  if (listed.length === 0 && manifests.length === 1 && manifests[0]) return manifests[0];
  const names = listed.map((manifest) => platformText(of(manifest)).slice(0, 100));
  const there = [...names.slice(0, mostNamed), ...(names.length > mostNamed ? [`${names.length - mostNamed} more`] : [])].join(", ");
  throw fail(
    "NotFound",
    `no matching manifest for ${platformText(wanted)} in the manifest list entries of ${name}${there === "" ? "" : `: there are ${there}`}`,
  );
}
