/**
 * What all drivers share. A *power* is something that not every driver or host has: an interface of verbs, or a mere promise (`unknown`). A
 * kind lists its powers in one interface; `powers` says which hold here, decided when the driver was opened, and `supports(driver, "diff")`
 * narrows to the verbs. For each the engine has a slow default or a plain refusal, and the suite compares the two. A plugin adds a power by
 * merging a line into that interface.
 *
 * A driver has no name: what code can't ask it can't branch on. (Its id lies with the host, for choosing and for display.)
 */

declare const powersOf: unique symbol;

export interface Driver<Powers> {
  readonly powers: readonly (keyof Powers)[];
  readonly [powersOf]?: Powers;
}

export type Supports = <Powers, P extends keyof Powers>(driver: Driver<Powers>, power: P) => driver is Driver<Powers> & Powers[P];
