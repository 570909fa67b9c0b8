/**
 * A registry driver moves bytes between a registry and the content store, which alone verifies them. Its id is the scheme that it serves
 * ("docker", "oci-archive"): lower-case letters, digits and hyphens. What follows `SCHEME:` in a user's reference is the driver's ref, in a
 * form of its own, and the image has the whole reference as its name. With the power `names` it is otherwise: the refs are Docker's names,
 * a user may write them as they are or after `SCHEME://`, and references without a scheme go to the host's choice among such drivers. An
 * image that has no blobs (a directory of the host) is a manifest with its own media type.
 *
 * An image is found by its name, and an interrupted download continues:
 *
 * ```ts
 * const manifest = await driver.resolve(call, "app:1", access);
 * const { layers } = JSON.parse(await text(await driver.fetch(call, "app:1", manifest, 0, access)));
 *
 * const [layer] = layers;
 * const begun = (await text(await driver.fetch(call, "app:1", layer, 0, access))).slice(0, 3);
 * const rest = await text(await driver.fetch(call, "app:1", layer, begun.length, access));
 * // The content store compares with the digest: a driver need not.
 * expect((begun + rest).length, layer.size);
 *
 * await refused(driver.resolve(call, "nosuch:1", access), "NotFound");
 * ```
 */
import type { Call } from "./call.ts";
import type { Driver } from "./driver.ts";
import type { Digest, Sparse, Strings } from "./words.ts";

export interface RegistryDriver extends Driver<RegistryPowers> {
  resolve(call: Call, ref: string, access: Access): Promise<Descriptor>;
  /** Starts at byte `from`, so that an interrupted download continues. `NotFound` and `PermissionDenied` come before the first byte. */
  fetch(call: Call, ref: string, blob: Descriptor, from: number, access: Access): Promise<AsyncIterable<Uint8Array>>;
}
export interface RegistryPowers {
  push: Pushes;
  search: Searches;
  /**
   * Its manifests may refer to a directory of this host. From any other driver such a manifest is refused, since its contents are
   * untrusted.
   */
  directories: unknown;
  /**
   * Its refs are Docker's names in full (`docker.io/library/debian:12`), and its images have these as names. Users' logins go to no other
   * driver.
   */
  names: unknown;
  /** Its images lie on this host: a container that is made of one gets it as it is now, without a pull. */
  local: unknown;
  /** A ref may be the path of a file, as `load` has one. `resolve` refuses a file of another format with `InvalidArgument`. */
  archives: unknown;
}
export interface Pushes {
  /** Sends the file at `path` from the byte that the registry lacks, or nothing if a repository in `mountFrom` has it. */
  push(
    call: Call,
    ref: string,
    blob: Descriptor,
    path: string,
    access: Access,
    options?: Sparse<{ mountFrom: readonly string[] }>,
  ): Promise<"sent" | "present" | "mounted">;
  tag(call: Call, ref: string, manifest: Descriptor, bytes: Uint8Array, access: Access): Promise<void>;
}
export interface Searches {
  search(call: Call, term: string, limit: number, access: Access): Promise<AsyncIterable<SearchResult>>;
}
export interface SearchResult {
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  readonly official: boolean;
}

/**
 * A user of a registry: with a password, with an identity token (which a token server exchanges for tokens of a repository), or with a
 * token of the registry. They are kept in memory for the work that they were given for, and never written or logged.
 */
export type Credentials =
  | { readonly username: string; readonly password: string; readonly identityToken?: string }
  | { readonly token: string };
export interface Access {
  readonly credentials: Credentials | null;
  /** Mirrors first. Empty: the driver decides by the ref. */
  readonly endpoints: readonly RegistryEndpoint[];
}
export interface RegistryEndpoint {
  readonly url: string;
  /** Plain http, or https without verification of the certificate. */
  readonly insecure: boolean;
  /** A directory of certificates as in /etc/docker/certs.d; null: the host's certificates. */
  readonly certificates: string | null;
}

/** A descriptor as in OCI JSON. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly annotations?: Strings;
}
