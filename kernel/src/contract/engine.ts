/**
 * What the kernel itself tells: which plugins there are, what works here, and what was picked and why. The host provides this service; no
 * plugin does.
 */
import type { Call } from "./call.ts";

export interface EngineService {
  plugins(call: Call): Promise<readonly PluginStatus[]>;
  /** One for each kind of driver that something was chosen for. */
  choices(call: Call): Promise<readonly DriverChoice[]>;
}

export interface PluginStatus {
  /** The entry's name: the package's, unless the list gave another. */
  readonly name: string;
  readonly package: string;
  readonly version: string;
  readonly offers: readonly OfferStatus[];
}
export interface OfferStatus {
  /** `storage/overlay`, `images` */
  readonly offer: string;
  /** `skipped`: this host can't; `failed`: it threw. */
  readonly state: "ok" | "skipped" | "failed";
  readonly reason: string | null;
  readonly hint: string | null;
}
export interface DriverChoice {
  readonly kind: string;
  readonly id: string;
  readonly why: "named" | "recorded" | "priority";
}
