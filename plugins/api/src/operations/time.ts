/** Times in Docker's formats. */

/** Docker's value for "never". */
export const zeroTime = "0001-01-01T00:00:00Z";

/** With nanoseconds, as Go prints them. `at`: milliseconds; null: never. */
export const time = (at: number | null): string => (at === null ? zeroTime : new Date(at).toISOString().replace(/Z$/, "000000Z"));

/** Without fractions, as Docker shows a volume's creation time. */
export const seconds = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}Z`;
