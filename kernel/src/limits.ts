/**
 * The bounds of all input from layers, archives, registries, containers' trees and clients, in one place. Native code has its own copy of
 * those that it checks, in native/core/src/limits.rs; a test compares the two.
 */
export interface Limits {
  /** Bytes of a path below a tree's root: PATH_MAX without its NUL. So no walk goes deeper than 2,048 directories. */
  readonly longestPath: number;
  /** Bytes of a file's name (NAME_MAX). */
  readonly longestName: number;
  /** Bytes of one extended tar header (PAX or GNU), and of all global PAX records together. */
  readonly largestHeader: number;
  /** Bytes of all extended attributes of one file, names and values. */
  readonly largestAttributes: number;
  /** Bytes after an archive's end mark. */
  readonly largestTrailer: number;
  /** Bytes that the engine remembers of one archive until its end: names, links, and the configs of its images. */
  readonly largestMemory: number;

  /** Bytes of a manifest, an index or an image's config. */
  readonly largestManifest: number;
  /** Manifests of one index. */
  readonly mostManifests: number;
  /** Levels of nested lists and objects in JSON. Recursive code (such as V8's JSON.stringify) overflows its stack at some thousands. */
  readonly deepestJson: number;
  /** Entries of one list or map in an image's config, or in a request of the API (but for arguments, variables and ports). */
  readonly mostEntries: number;
  /** Mounts of one container, and volumes that an image declares. */
  readonly mostMounts: number;
  /** Files of a host directory that is given as devices. */
  readonly mostDevices: number;
  /** Layers of one image: overlay supports 500. */
  readonly mostLayers: number;
  /** Entries of an image archive. */
  readonly mostMembers: number;
  /** Bytes of a registry's answer that is parsed: errors, tokens. */
  readonly largestWords: number;
  /** Bytes of the request line and the headers of an HTTP request. */
  readonly largestHead: number;
  /** Bytes of JSON in a request of the API. */
  readonly largestJson: number;
  /** Bytes of one log line that are joined; a longer line is sent in pieces, as Docker does. */
  readonly longestLine: number;
}

export const limits: Limits = {
  longestPath: 4095,
  longestName: 255,
  largestHeader: 1 << 20,
  largestAttributes: 1 << 20,
  largestTrailer: 64 << 20,
  largestMemory: 128 << 20,
  largestManifest: 8 << 20,
  mostManifests: 10_000,
  deepestJson: 128,
  mostEntries: 10_000,
  mostMounts: 1_000,
  mostDevices: 20_000,
  mostLayers: 500,
  mostMembers: 200_000,
  largestWords: 64 << 10,
  largestHead: 256 << 10,
  largestJson: 16 << 20,
  longestLine: 64 << 10,
};
