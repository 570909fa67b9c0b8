/** The longest delay that setTimeout takes, in milliseconds; a longer one would be over at once. */
export const longestTimer: number = 2 ** 31 - 1;
