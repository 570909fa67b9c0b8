/**
 * The bounds of what comes from a layer, an archive, a registry, a container's tree or a client, named in one place. Those that native code
 * keeps, too, are in native/core/src/limits.rs; a test holds the two equal.
 */
export interface Limits {
  /** Bytes of a path below a tree's root: PATH_MAX without its NUL. So no walk is deeper than 2,048 directories. */
  readonly longestPath: number;
  /** Bytes of a file's name (NAME_MAX). */
  readonly longestName: number;
  /** Bytes of one extended tar header (PAX or GNU), and of all global PAX records together. */
  readonly largestHeader: number;
  /** Bytes of all extended attributes of one file, names and values. */
  readonly largestAttributes: number;
  /** Bytes behind an archive's end. */
  readonly largestTrailer: number;

  /** Bytes of a manifest, an index or an image's config. */
  readonly largestManifest: number;
  /** Manifests of one index. */
  readonly mostManifests: number;
  /** Levels of nested lists and objects in JSON. What goes through it by recursion (V8's own JSON.stringify) ends at some thousands. */
  readonly deepestJson: number;
  /** Entries of one list or map in an image's config. */
  readonly mostEntries: number;
  /** Mounts of one container, and volumes that an image asks for. */
  readonly mostMounts: number;
  /** Layers of one image: overlay takes 500. */
  readonly mostLayers: number;
  /** Entries of an image archive. */
  readonly mostMembers: number;
  /** Bytes of an answer of a registry that is read for its words: errors, tokens. */
  readonly largestWords: number;
  /** Bytes of JSON in a request of the API. */
  readonly largestJson: number;
  /** Bytes of one line of a log that are put together; a longer one is told in pieces, as Docker does. */
  readonly longestLine: number;
}

export const limits: Limits = {
  longestPath: 4095,
  longestName: 255,
  largestHeader: 1 << 20,
  largestAttributes: 1 << 20,
  largestTrailer: 64 << 20,
  largestManifest: 8 << 20,
  mostManifests: 10_000,
  deepestJson: 128,
  mostEntries: 10_000,
  mostMounts: 1_000,
  mostLayers: 500,
  mostMembers: 200_000,
  largestWords: 64 << 10,
  largestJson: 16 << 20,
  longestLine: 64 << 10,
};
