import type { Driver } from "./contract/driver.ts";

/** Does the driver have that power on this host? Narrows to its verbs. */
export function supports<Powers, P extends keyof Powers>(driver: Driver<Powers>, power: P): driver is Driver<Powers> & Powers[P] {
  return driver.powers.includes(power);
}
