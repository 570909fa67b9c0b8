/**
 * The base of all drivers. A *power* is a feature that not every driver or host has: an interface of verbs, or only a promise (`unknown`).
 * A kind lists its powers in one interface. `powers` lists those that the driver has on this host; it is decided when the driver is opened.
 * `supports(driver, "diff")` narrows the type to the verbs. For each power the engine has a slow default or a plain refusal, and the suite
 * compares the two. A plugin adds a power by merging a line into the interface.
 *
 * A driver has no name, so that code can't branch on it. (The host keeps its id, for choosing and for display.)
 */

declare const powersOf: unique symbol;

export interface Driver<Powers> {
  readonly powers: readonly (keyof Powers)[];
  readonly [powersOf]?: Powers;
}

export type Supports = <Powers, P extends keyof Powers>(driver: Driver<Powers>, power: P) => driver is Driver<Powers> & Powers[P];
