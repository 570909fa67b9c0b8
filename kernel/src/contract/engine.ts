/**
 * The kernel's own service: the plugins, whether they work here, and which drivers were chosen and why. The host provides this service; no
 * plugin does.
 */
import type { Call } from "./call.ts";

export interface EngineService {
  plugins(call: Call): Promise<readonly PluginStatus[]>;
  /** One choice for each kind of driver that has one. */
  choices(call: Call): Promise<readonly DriverChoice[]>;
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
