/** The parts of a volume rule's world: a new driver, and its trees through the mounts that it answers. */
import type { Call, ContainerId, Mount, VolumeDriver } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";

export interface VolumeWorld extends BaseWorld {
  readonly driver: VolumeDriver;
  readonly call: Call;
  /** Users that no other world has. */
  readonly users: readonly [ContainerId, ContainerId, ContainerId];
  write(mount: Mount, name: string, content: string): Promise<void>;
  /** The contents of the top directory's files, by name. */
  read(mount: Mount): Promise<Readonly<Record<string, string>>>;
  /** The engine dies without cleanup, and a new one opens the same directories: `driver` is another object afterwards. */
  crash(): Promise<void>;
  /** Like `crash`, and everything on tmpfs is gone. */
  reboot(): Promise<void>;
  /** The entries of this world in the host's mount table. */
  onHost(): readonly string[];
}
