/** Which driver of a kind is the host's default, and why each of the others is not, in words for the operator. */
import type { DriverChoice, DriverSelection, OtherDriver } from "../contract/engine.ts";
import type { Probe } from "../contract/plugin.ts";
import { asError } from "../errors/index.ts";

export interface InstalledDriver {
  readonly id: string;
  /** 0: none. */
  readonly rank: number;
  readonly probe: Probe;
}

/** `choose` answers null if there is no usable driver with a rank, and throws if the choice can't be made. */
export async function selection(
  kind: string,
  installed: readonly InstalledDriver[],
  choose: () => Promise<DriverChoice | null>,
): Promise<DriverSelection> {
  const chosen = await decided(installed, choose);
  const best = installed.find(({ id }) => id === chosen.id);
  const others = installed
    .filter((driver) => driver !== best)
    .map(
      (driver): OtherDriver => ({ id: driver.id, rank: driver.rank, usable: driver.probe.usable, why: whyNot(driver, chosen.basis, best) }),
    );
  return { kind, ...chosen, others };
}

type Decided = Pick<DriverSelection, "id" | "basis" | "why">;

async function decided(installed: readonly InstalledDriver[], choose: () => Promise<DriverChoice | null>): Promise<Decided> {
  let choice: DriverChoice | null;
  try {
    choice = await choose();
  } catch (thrown) {
    return { id: null, basis: null, why: asError(thrown).message };
  }
  if (choice !== null) {
    const { id } = choice;
    if (choice.why === "named") return { id, basis: "named", why: "the config file names it" };
    if (choice.why === "recorded") return { id, basis: "recorded", why: "this host's record of drivers names it" };
    const rank = installed.find((driver) => driver.id === id)?.rank ?? 0;
    return { id, basis: "rank", why: `it has the highest rank (${rank}) of those that work here` };
  }
  const [first] = installed;
  if (first === undefined || installed.some(({ rank }) => rank > 0)) return { id: null, basis: null, why: "none can be used here" };
  const why = installed.length === 1 ? "it is the only one" : "none has a rank, and it comes first in the list of plugins";
  return { id: first.id, basis: "order", why };
}

function whyNot({ rank, probe }: InstalledDriver, basis: DriverSelection["basis"], best: InstalledDriver | undefined): string {
  if (!probe.usable) return `can't be used here: ${probe.reason}${probe.hint === null ? "" : `; ${probe.hint}`}`;
  if (best === undefined) return "works here";
  if (basis === "named") return `works here, but the config file names ${best.id}`;
  if (basis === "recorded") return `works here, but this host's record of drivers names ${best.id}`;
  if (rank > best.rank) return `works here now, but did not answer when ${best.id} was chosen`;
  if (rank < best.rank && rank === 0) return "works here, but has no rank: it is used where it is named";
  if (rank < best.rank) return `works here, but its rank (${rank}) is lower than that of ${best.id} (${best.rank})`;
  return `works here, but ${best.id} comes first in the list of plugins`;
}
