/** A volume driver keeps named trees that outlive containers. `attach` makes one ready for a user and answers what the shim mounts; many users may hold one. */
import type { Call } from "./call.ts";
import type { Driver } from "./driver.ts";
import type { Mount } from "./storage.ts";
import type { ContainerId, Strings } from "./words.ts";

export interface VolumeDriver extends Driver<VolumePowers> {
  create(call: Call, name: string, options: Strings): Promise<void>;
  /** `FailedPrecondition` while attached. */
  remove(call: Call, name: string): Promise<void>;
  attach(call: Call, name: string, user: ContainerId): Promise<Mount>;
  detach(call: Call, name: string, user: ContainerId): Promise<void>;
  list(call: Call): Promise<AsyncIterable<string>>;
}
export interface VolumePowers {
  /** `create` takes the option "size". */
  quota: unknown;
}
