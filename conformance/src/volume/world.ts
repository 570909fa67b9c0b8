/** What a volume rule may touch: a driver that was never used, and its trees through the mounts that it answers. */
import type { Call, ContainerId, Mount, VolumeDriver } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";

export interface VolumeWorld extends BaseWorld {
  readonly driver: VolumeDriver;
  readonly call: Call;
  /** Users that nobody else is. */
  readonly users: readonly [ContainerId, ContainerId, ContainerId];
  write(mount: Mount, name: string, content: string): Promise<void>;
  /** Names to contents of the files at the top. */
  read(mount: Mount): Promise<Readonly<Record<string, string>>>;
  /** The engine dies without a word and a new one opens the same directories: `driver` is another one afterwards. */
  crash(): Promise<void>;
  /** As `crash`, and what lies on tmpfs is gone. */
  reboot(): Promise<void>;
  /** What the host's mount table says of this world. */
  onHost(): readonly string[];
}
