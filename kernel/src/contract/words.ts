/**
 * Words: strings that have been checked. The parser of a kind of word (kernel/src/words.ts) makes one; code that gets a string back from
 * the engine's own records may cast it. So a key can't be used as a name, nor a network's id as a container's.
 */

declare const brand: unique symbol;
export type Branded<B extends string> = string & { readonly [brand]: B };

/** 64 hex digits. */
export type ContainerId = Branded<"container">;
/** 64 hex digits. */
export type ExecId = Branded<"exec">;
/** 64 hex digits; one attachment of one container to one network. */
export type EndpointId = Branded<"endpoint">;
/** 64 hex digits. */
export type NetworkId = Branded<"network">;
/** `sha256:` and 64 hex digits. */
export type Digest = Branded<"digest">;

export type Strings = Readonly<Record<string, string>>;
/** Options: an option that is not given is left out or `undefined`. */
export type Sparse<T> = { readonly [K in keyof T]?: T[K] | undefined };
