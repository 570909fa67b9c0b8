/**
 * The kernel's own service: the plugins, whether they work here, and which drivers were chosen and why. The host provides this service; no
 * plugin does.
 */
import type { Call } from "./call.ts";

export interface EngineService {
  plugins(call: Call): Promise<readonly PluginStatus[]>;
  /** One choice for each kind of driver that has one. */
  choices(call: Call): Promise<readonly DriverChoice[]>;
  /**
   * The same for every kind that has a driver, with what is said of the drivers that were not chosen. A choice that has not been made yet
   * is foreseen, and not recorded.
   */
  selections(call: Call): Promise<readonly DriverSelection[]>;
  /**
   * Makes a driver the host's choice, for this engine and for later ones. `DriverMissing`: none has this id; `FailedPrecondition`: the
   * config file names another.
   */
  prefer(call: Call, kind: string, id: string): Promise<void>;
}

export interface PluginStatus {
  /** The entry's name: the package's, unless the list gives another. */
  readonly name: string;
  readonly package: string;
  readonly version: string;
  readonly offers: readonly OfferStatus[];
}
export interface OfferStatus {
  /** `storage/overlay`, `images` */
  readonly offer: string;
  /** `skipped`: this host can't use it; `failed`: it threw an error. */
  readonly state: "ok" | "skipped" | "failed";
  readonly reason: string | null;
  readonly hint: string | null;
}
export interface DriverChoice {
  readonly kind: string;
  readonly id: string;
  readonly why: "named" | "recorded" | "priority";
}
export interface DriverSelection {
  readonly kind: string;
  /** Null: no driver can be chosen; `why` says what prevents it. */
  readonly id: string | null;
  /** `rank`: the usable driver with the highest rank; `order`: no driver of the kind has a rank, and the first in the list is taken. */
  readonly basis: "named" | "recorded" | "rank" | "order" | null;
  /** One sentence, for people. */
  readonly why: string;
  readonly others: readonly OtherDriver[];
}
export interface OtherDriver {
  readonly id: string;
  /** 0: none. */
  readonly rank: number;
  readonly usable: boolean;
  /** One sentence, for people: what this host lacks, or why another driver was chosen. */
  readonly why: string;
}
