/** What the engine says of itself. */
export { engineVersion } from "@tsbox/kernel";
/**
 * Of Docker's API: what is answered by default, and the oldest that is understood. Docker 29 cut at 1.44 and broke clients; there is no
 * need to.
 */
export const apiVersion = "1.51";
export const minimumApiVersion = "1.24";
