import type { Driver } from "./contract/driver.ts";

/** Whether the driver has this power on this host. The answer narrows the driver's type to the power's verbs. */
export function supports<Powers, P extends keyof Powers>(driver: Driver<Powers>, power: P): driver is Driver<Powers> & Powers[P] {
  return driver.powers.includes(power);
}
