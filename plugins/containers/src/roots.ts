/** Opens a container's files for the toolkit: through its first process while it runs, else its layer and volumes in a detached mount. */
import { existsSync } from "node:fs";
import {
  type Call,
  type Container,
  type ContainerId,
  cleanupCall,
  fail,
  type HostToolkit,
  type Mount,
  type MountPoint,
  newContainerId,
  type StorageDriver,
  type ViewKey,
  type VolumesService,
  withCleanup,
} from "@tsbox/kernel";

export interface RootServices {
  readonly host: HostToolkit;
  readonly volumes: VolumesService;
  storage(id: string): Promise<StorageDriver>;
  /** A call for work that no client requested. */
  call(): Call;
}

/** Milliseconds. Less than requests wait for a container's lock, which a start holds meanwhile. */
const settleTimeout = 30_000;

export class Roots {
  /** What to do when a root is closed, by its path. */
  readonly #open: Map<string, () => Promise<void>> = new Map();
  /** Writers to containers that don't run. While a layer is mounted for one, a start must not mount it a second time. */
  readonly #writers: Map<ContainerId, Set<Promise<void>>> = new Map();

  /** Containers that have a mount point for each of their mounts. */
  readonly #places: Set<ContainerId> = new Set();

  async open(services: RootServices, call: Call, record: Container, use: "read" | "write"): Promise<string> {
    const { id, pid, status } = record;
    if ((status === "running" || status === "paused") && pid !== null) return services.host.openProcess(call, pid, id);
    if (status === "removing" || status === "dead") throw fail("FailedPrecondition", `container ${id} is being removed`);
    // A writer must not reach a read-only root either, not through a link in a volume.
    const isSealed = use === "read" || record.config.readOnlyRoot;
    // A read-only tree can't get new mount points, so a mount without one would be left out. They are created first.
    if (isSealed && record.mounts.length > 0 && !this.#places.has(id)) {
      await this.close(services, call, await this.#openStopped(services, call, record, "write", false));
      this.#places.add(id);
    }
    return this.#openStopped(services, call, record, use, isSealed);
  }

  #openStopped(services: RootServices, call: Call, record: Container, use: "read" | "write", isSealed: boolean): Promise<string> {
    const { id } = record;
    return withCleanup(async (cleanup) => {
      const done = use === "write" ? this.#writing(id) : (): void => {};
      cleanup.undo(done);
      const { mounts, release } = await this.#mounts(services, call, record, isSealed);
      cleanup.undo(release);
      const path = await services.host.open(call, mounts);
      this.#open.set(path, async () => {
        done();
        await release();
      });
      return path;
    });
  }

  async close(services: RootServices, call: Call, root: string): Promise<void> {
    const after = this.#open.get(root);
    this.#open.delete(root);
    try {
      await services.host.close(cleanupCall(call), root);
    } finally {
      await after?.();
    }
  }

  /**
   * Resolves when no caller writes into the container's layer from outside. `Conflict`: somebody still does after `timeout` milliseconds; a
   * client that sends an archive may fall silent in the middle of it.
   */
  async settled(id: ContainerId, timeout: number = settleTimeout): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(
        fail("Conflict", `files are still being copied into container ${id.slice(0, 12)}: end that, or wait for it, then repeat`),
      );
    }, timeout);
    try {
      while (this.#writers.has(id)) await Promise.race([Promise.all(this.#writers.get(id) ?? []), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  forget(id: ContainerId): void {
    this.#places.delete(id);
  }

  /** Registers a writer until the returned function is called. */
  #writing(id: ContainerId): () => void {
    let release: () => void = () => {};
    const over = new Promise<void>((resolve) => {
      release = resolve;
    });
    const all = this.#writers.get(id) ?? new Set();
    this.#writers.set(id, all.add(over));
    return () => {
      all.delete(over);
      if (all.size === 0) this.#writers.delete(id);
      release();
    };
  }

  /** The layer, and the mounts below it that hold files: binds, volumes and images. */
  async #mounts(services: RootServices, call: Call, record: Container, readOnly: boolean): Promise<Held> {
    const storage = await services.storage(record.drivers.storage);
    // A separate user of the volumes, so that releasing it does not affect others.
    const user = newContainerId();
    const volumes: string[] = [];
    const release = async (): Promise<void> => {
      for (const name of volumes) await services.volumes.unmount(services.call(), name, user);
    };
    try {
      const mounts = [...(await storage.mounts(call, record.layer, { readOnly }))];
      for (const point of record.mounts) {
        const mount = await this.#mount(services, call, record, point, user);
        if (point.kind === "volume") volumes.push(point.name);
        if (mount !== null) mounts.push(mount);
      }
      return { mounts, release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  async #mount(services: RootServices, call: Call, record: Container, point: MountPoint, user: ContainerId): Promise<Mount | null> {
    const ro = point.readOnly ? ["ro"] : [];
    switch (point.kind) {
      case "bind":
        // A start would create the missing source; opening the files does not.
        if (!existsSync(point.source)) return null;
        return { type: "bind", source: point.source, target: point.target, options: [point.recursive ? "rbind" : "bind", ...ro] };
      case "volume": {
        const mount = await services.volumes.mount(call, point.name, user, {
          destination: point.target,
          propagation: "",
          "read/write": String(!point.readOnly),
        });
        return { ...mount, target: point.target, options: [...mount.options, ...ro] };
      }
      case "image": {
        const storage = await services.storage(record.drivers.storage);
        const [root, ...rest] = await storage.mounts(call, point.view as ViewKey);
        return root === undefined || rest.length > 0 ? null : { ...root, target: point.target, options: [...root.options, "ro"] };
      }
      default:
        return null;
    }
  }
}

interface Held {
  readonly mounts: readonly Mount[];
  release(): Promise<void>;
}
