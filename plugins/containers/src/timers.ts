/** The longest delay of setTimeout, in milliseconds; with a longer one it fires at once. */
export const longestTimer: number = 2 ** 31 - 1;
