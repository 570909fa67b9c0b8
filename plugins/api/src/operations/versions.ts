/** The versions of the engine and of its API. */
export { engineVersion } from "@tsbox/kernel";
/**
 * Docker's API: the default version, and the oldest supported one. Docker 29 raised its minimum to 1.44 and broke clients, for which this
 * engine has no reason.
 */
export const apiVersion = "1.51";
export const minimumApiVersion = "1.24";
