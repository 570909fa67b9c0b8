/**
 * The records of all volumes, in memory for reading, and their claims. The state service keeps the durable ones, with one write per change.
 */
import { type Call, type ContainerId, fail, type StateService, type Strings } from "@tsbox/kernel";

export interface VolumeRecord {
  readonly name: string;
  readonly driver: string;
  readonly createdAt: number;
  readonly labels: Strings;
  readonly options: Strings;
  readonly anonymous: boolean;
  /** Made for a container that is gone after a restart of the host; the volume is then removed. */
  readonly volatile: boolean;
  /** The volume is being filled from an image: its content is not complete. */
  readonly filling: boolean;
}

export class Records {
  readonly #state: StateService;
  readonly #all: Map<string, VolumeRecord> = new Map();
  readonly #claims: Map<string, Set<ContainerId>> = new Map();

  constructor(state: StateService) {
    this.#state = state;
  }

  async load(call: Call): Promise<void> {
    for (const [name, value] of await this.#state.list(call, "volumes")) this.#all.set(name, value as VolumeRecord);
  }

  all(): readonly VolumeRecord[] {
    return [...this.#all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): VolumeRecord | undefined {
    return this.#all.get(name);
  }

  get(name: string): VolumeRecord {
    const record = this.#all.get(name);
    if (record === undefined) throw fail("NotFound", `get ${name}: no such volume`);
    return record;
  }

  async keep(call: Call, record: VolumeRecord): Promise<void> {
    await this.#state.write(call, [{ table: "volumes", key: record.name, value: record }]);
    this.#all.set(record.name, record);
  }

  async drop(call: Call, name: string): Promise<void> {
    await this.#state.write(call, [{ table: "volumes", key: name, value: null }]);
    this.#all.delete(name);
    this.#claims.delete(name);
  }

  claim(name: string, container: ContainerId): void {
    const users = this.#claims.get(name) ?? new Set();
    this.#claims.set(name, users.add(container));
  }

  release(name: string, container: ContainerId): void {
    const users = this.#claims.get(name);
    users?.delete(container);
    if (users?.size === 0) this.#claims.delete(name);
  }

  users(name: string): readonly ContainerId[] {
    return [...(this.#claims.get(name) ?? [])];
  }
}
