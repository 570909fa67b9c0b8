/** Volume drivers with one bug each, and the rule that must catch it. */
import type { Call, ContainerId, Mount, Strings, Usage, VolumePowers, VolumeState } from "@tsbox/kernel";
import { ReferenceVolumes, type VolumeDisk } from "../reference/volume.ts";

export interface BrokenVolume {
  readonly bug: string;
  /** The rule that must catch it; others may fail too. */
  readonly rule: string;
  readonly open: (disk: VolumeDisk) => ReferenceVolumes;
}

const broken = (bug: string, rule: string, driver: new (disk: VolumeDisk) => ReferenceVolumes): BrokenVolume => ({
  bug,
  rule,
  open: (disk) => new driver(disk),
});

export const brokenVolumes: readonly BrokenVolume[] = [
  broken(
    "what is attached is removed all the same",
    "volume/remove-attached",
    class extends ReferenceVolumes {
      override async remove(_call: Call, name: string): Promise<void> {
        this.tree(name);
        this.disk.trees.delete(name);
      }
    },
  ),
  broken(
    "users are counted: who attaches twice must detach twice",
    "volume/attach-again",
    class extends ReferenceVolumes {
      readonly #counts = new Map<string, number>();
      override async attach(call: Call, name: string, user: ContainerId): Promise<Mount> {
        this.#counts.set(`${name} ${user}`, (this.#counts.get(`${name} ${user}`) ?? 0) + 1);
        return super.attach(call, name, user);
      }
      override async detach(call: Call, name: string, user: ContainerId): Promise<void> {
        const left = (this.#counts.get(`${name} ${user}`) ?? 1) - 1;
        this.#counts.set(`${name} ${user}`, left);
        if (left <= 0) await super.detach(call, name, user);
      }
    },
  ),
  broken(
    "each user gets a tree of his own",
    "volume/shared",
    class extends ReferenceVolumes {
      override async attach(call: Call, name: string, user: ContainerId): Promise<Mount> {
        const mount = await super.attach(call, name, user);
        const own = `${name}-${user.slice(0, 8)}`;
        if (!this.disk.trees.has(own)) this.disk.trees.set(own, new Map());
        return { ...mount, source: own };
      }
    },
  ),
  broken(
    "the last to go takes the content along",
    "volume/outlives-users",
    class extends ReferenceVolumes {
      override async detach(call: Call, name: string, user: ContainerId): Promise<void> {
        await super.detach(call, name, user);
        if (this.usersOf(name).size === 0) this.tree(name).clear();
      }
    },
  ),
  broken(
    "a name that is taken is emptied",
    "volume/name-taken",
    class extends ReferenceVolumes {
      override async create(call: Call, name: string, options: Strings): Promise<void> {
        this.disk.trees.get(name)?.clear();
        await super.create(call, name, options);
      }
    },
  ),
  broken(
    "options that it does not know are dropped in silence",
    "volume/option-unknown",
    class extends ReferenceVolumes {
      override async create(call: Call, name: string, _options: Strings): Promise<void> {
        await super.create(call, name, {});
      }
    },
  ),
  broken(
    "a size is dropped in silence",
    "volume/no-quota",
    class extends ReferenceVolumes {
      override async create(call: Call, name: string, { size: _size, ...options }: Strings): Promise<void> {
        await super.create(call, name, options);
      }
    },
  ),
  broken(
    "a quota is claimed that is not there",
    "volume/quota",
    class extends ReferenceVolumes {
      override readonly powers: readonly (keyof VolumePowers)[] = ["quota"];
      override async create(call: Call, name: string, { size: _size, ...options }: Strings): Promise<void> {
        await super.create(call, name, options);
      }
    },
  ),
  broken(
    "users are in the driver's memory only",
    "volume/crash-keeps",
    class extends ReferenceVolumes {
      readonly #users = new Map<string, Set<ContainerId>>();
      protected override usersOf(name: string): Set<ContainerId> {
        const own = this.#users.get(name) ?? new Set();
        this.#users.set(name, own);
        return own;
      }
    },
  ),
  broken(
    "users are never forgotten",
    "volume/reboot-forgets-users",
    class extends ReferenceVolumes {
      protected override usersOf(name: string): Set<ContainerId> {
        const disk = this.disk as VolumeDisk & { lasting?: Map<string, Set<ContainerId>> };
        disk.lasting ??= new Map();
        const own = disk.lasting.get(name) ?? new Set();
        disk.lasting.set(name, own);
        return own;
      }
    },
  ),
  broken(
    "names are not looked at",
    "volume/name-unsafe",
    class extends ReferenceVolumes {
      override async create(call: Call, name: string, options: Strings): Promise<void> {
        if (name.includes("/")) this.disk.trees.set(name, new Map());
        else await super.create(call, name, options);
      }
    },
  ),
  broken(
    "a removed volume's content comes back with its name",
    "volume/remove-once",
    class extends ReferenceVolumes {
      readonly #old = new Map<string, Map<string, string>>();
      override async remove(call: Call, name: string): Promise<void> {
        const tree = this.tree(name);
        await super.remove(call, name);
        this.#old.set(name, tree);
      }
      override async create(call: Call, name: string, options: Strings): Promise<void> {
        await super.create(call, name, options);
        const tree = this.#old.get(name);
        if (tree !== undefined) this.disk.trees.set(name, tree);
      }
    },
  ),
  broken(
    "usage is always nothing",
    "volume/usage",
    class extends ReferenceVolumes {
      override async usage(_call: Call, name: string): Promise<Usage> {
        this.tree(name);
        return { bytes: 0, inodes: 0 };
      }
    },
  ),
  broken(
    "stat knows no users",
    "volume/shared",
    class extends ReferenceVolumes {
      override async stat(call: Call, name: string): Promise<VolumeState> {
        return { ...(await super.stat(call, name)), users: [] };
      }
    },
  ),
  broken(
    "two creates of one name both succeed",
    "volume/create-race",
    class extends ReferenceVolumes {
      override async create(call: Call, name: string, options: Strings): Promise<void> {
        const there = this.disk.trees.has(name);
        await Promise.resolve();
        if (!there) this.disk.trees.delete(name);
        await super.create(call, name, options);
      }
    },
  ),
];
