/** The version of the engine and of its command line, which are released together. */
export const engineVersion = "0.1.0";
