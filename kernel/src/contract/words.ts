/**
 * Words: strings that have been checked. The parser of a kind of word (kernel/src/words.ts) makes one; who keeps what it got from the
 * engine may cast. So a key can't pass for a name, nor a network's id for a container's.
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
/** Options: what is not asked for is left out or `undefined`. */
export type Sparse<T> = { readonly [K in keyof T]?: T[K] | undefined };
