/** The service `volumes`: the verbs of kernel/src/contract/services/volumes.ts. */
import { randomBytes } from "node:crypto";
import {
  asError,
  type Call,
  type ContainerId,
  cleanupCall,
  type EventsService,
  fail,
  type HostToolkit,
  isTsboxError,
  type Mount,
  type StateService,
  type Strings,
  type Volume,
  type VolumeDriver,
  type VolumesService,
  withCleanup,
  withMounts,
} from "@tsbox/kernel";
import { Records, type VolumeRecord } from "./records.ts";

export interface VolumesEngine {
  readonly state: StateService;
  readonly events: EventsService;
  readonly host: Pick<HostToolkit, "open" | "close" | "copyInto" | "emptyTree" | "sync">;
  driver(id: string): Promise<VolumeDriver>;
  /** The driver that the host prefers. */
  preferred(): Promise<string>;
}

/** The label by which Docker's clients recognise an anonymous volume. */
const anonymousLabel = "com.docker.volume.anonymous";

export async function openVolumes(engine: VolumesEngine, opening: Call): Promise<VolumesService> {
  const records = new Records(engine.state);
  await records.load(opening);
  /** Serializes the changes of one volume. */
  const busy = new Map<string, Promise<unknown>>();
  const alone = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const before = busy.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    busy.set(name, mine);
    try {
      return await mine;
    } finally {
      if (busy.get(name) === mine) busy.delete(name);
    }
  };
  const publish = (call: Call, action: string, record: VolumeRecord, attributes: Strings): Promise<void> =>
    engine.events.publish(call, { type: "volume", action, id: record.name, attributes: { driver: record.driver, ...attributes } });

  const driverOf = async (name: string, id: string): Promise<VolumeDriver> => {
    try {
      return await engine.driver(id);
    } catch (error) {
      if (!isTsboxError(error) || error.code !== "DriverMissing") throw error;
      throw fail("NotFound", `create ${name}: error looking up volume plugin ${id}: plugin "${id}" not found`, { cause: error });
    }
  };

  const show = async (call: Call, record: VolumeRecord): Promise<Volume> => {
    const { name, driver, createdAt, labels, options, anonymous } = record;
    // If the driver is missing or a power cut has removed the tree, the rest of the record is still shown.
    const mountpoint = await engine.driver(driver).then(
      (found) =>
        found.stat(call, name).then(
          (state) => state.mountpoint,
          () => "",
        ),
      () => "",
    );
    return { name, driver, createdAt, labels, options, anonymous, mountpoint };
  };

  /** Attaches the volume. If a power cut has removed its tree, it is created again, empty. */
  const attached = async (call: Call, record: VolumeRecord, container: ContainerId): Promise<Mount> => {
    const driver = await engine.driver(record.driver);
    try {
      return await driver.attach(call, record.name, container);
    } catch (error) {
      if (!isTsboxError(error) || error.code !== "NotFound") throw error;
      await driver.create(call, record.name, record.options);
      return driver.attach(call, record.name, container);
    }
  };
  const detached = async (call: Call, record: VolumeRecord, container: ContainerId): Promise<void> => {
    try {
      await (await engine.driver(record.driver)).detach(call, record.name, container);
    } catch (error) {
      if (!isTsboxError(error) || error.code !== "NotFound") throw error;
    }
  };

  /** Removes a volume. The caller holds its lock. `force`: the record goes even if the driver is missing, and the data stays. */
  const remove = async (call: Call, name: string, force: boolean): Promise<void> => {
    const record = records.find(name);
    if (record === undefined) throw fail("NotFound", `get ${name}: no such volume`);
    const users = records.users(name);
    if (users.length > 0) throw fail("Conflict", `remove ${name}: volume is in use - [${users.join(", ")}]`);
    try {
      await (await engine.driver(record.driver)).remove(call, name);
    } catch (error) {
      if (!isTsboxError(error)) throw error;
      if (error.code === "DriverMissing") {
        if (!force)
          throw fail("DriverMissing", `${error.message}; install its plugin again, or forget the volume with rm -f`, { cause: error });
        call.log.warn(`volume ${name} is forgotten, and its data stays: ${error.message}`);
      }
      // NotFound: the tree is already gone, as after a crash between removing the tree and the record.
      else if (error.code !== "NotFound") throw error;
    }
    await records.drop(call, name);
    await publish(call, "destroy", record, {});
  };

  const create: VolumesService["create"] = async (
    call,
    { name: asked, driver: id, options = {}, labels = {}, claim, volatile = false },
  ) => {
    const name = asked ?? randomBytes(32).toString("hex");
    return alone(name, async () => {
      const known = records.find(name);
      if (known !== undefined) {
        if (id !== undefined && id !== known.driver)
          throw fail(
            "AlreadyExists",
            `A volume named "${name}" already exists with the "${known.driver}" driver. Choose a different volume name`,
          );
        if (claim !== undefined) records.claim(name, claim);
        return show(call, known);
      }
      return withCleanup(async (cleanup) => {
        const driver = id ?? (await engine.preferred());
        const opened = await driverOf(name, driver);
        // A tree without a record is kept, whatever fails after this: a user's data must not be removed.
        try {
          await opened.create(call, name, options);
          cleanup.undo(() => opened.remove(cleanupCall(call), name));
        } catch (error) {
          if (!isTsboxError(error) || error.code !== "AlreadyExists") throw error;
        }
        const record: VolumeRecord = {
          name,
          driver,
          createdAt: Date.now(),
          labels: asked === null ? { ...labels, [anonymousLabel]: "" } : labels,
          options,
          anonymous: asked === null || Object.hasOwn(labels, anonymousLabel),
          volatile,
          filling: false,
        };
        await records.keep(call, record);
        if (claim !== undefined) records.claim(name, claim);
        await publish(call, "create", record, {});
        return show(call, record);
      });
    });
  };

  return {
    create,
    get: async (call, name) => show(call, records.get(name)),
    list: async (call) => Promise.all(records.all().map((record) => show(call, record))),
    users: async (_call, name) => records.users(name),
    remove: (call, name, { force = false }) =>
      alone(name, async () => {
        if (force && records.find(name) === undefined) return;
        await remove(call, name, force);
      }),
    usage: async (call, name) => {
      try {
        return await (await engine.driver(records.get(name).driver)).usage(call, name);
      } catch (error) {
        if (isTsboxError(error) && ["Unsupported", "NotFound", "DriverMissing"].includes(error.code)) return null;
        throw error;
      }
    },
    claim: (call, name, container) =>
      alone(name, async () => {
        const record = records.get(name);
        records.claim(name, container);
        return show(call, record);
      }),
    release: async (_call, name, container) => records.release(name, container),
    mount: async (call, name, container, details) => {
      const record = records.get(name);
      const mount = await alone(name, () => attached(call, record, container));
      await publish(call, "mount", record, { container, ...details });
      return mount;
    },
    unmount: async (call, name, container) => {
      const record = records.find(name);
      if (record === undefined) return;
      await alone(name, () => detached(call, record, container));
      await publish(call, "unmount", record, { container });
    },
    fill: (call, name, container, root, path) =>
      alone(name, async () => {
        const record = records.get(name);
        return withCleanup(async (cleanup) => {
          const mount = await attached(call, record, container);
          cleanup.always(() => detached(cleanupCall(call), record, container));
          return withMounts(call, engine.host, [mount], async (to) => {
            if (record.filling) await engine.host.emptyTree(call, to);
            const what = await engine.host.copyInto(call, root, path, to, { check: true });
            if (what === "nothing") return false;
            if (what === "owner" || record.volatile) await engine.host.copyInto(call, root, path, to);
            else {
              // Recorded before and after the copy, so that a partial copy is never taken for a user's data.
              await records.keep(call, { ...record, filling: true });
              await engine.host.copyInto(call, root, path, to);
              await engine.host.sync(call, to);
              await records.keep(call, { ...record, filling: false });
            }
            return true;
          });
        });
      }),
    restore: async (call, claims) => {
      for (const { volume, container, running } of claims) {
        records.claim(volume, container);
        const record = records.find(volume);
        // The container ended, or never started, while no daemon was there to detach the volume.
        if (running || record === undefined) continue;
        await detached(call, record, container).catch((error: unknown) =>
          call.log.warn(`volume ${volume} can't be detached from container ${container.slice(0, 12)}: ${asError(error).message}`),
        );
      }
      for (const record of records.all()) {
        if (!record.volatile || records.users(record.name).length > 0) continue;
        await alone(record.name, () => remove(call, record.name, false)).catch((error: unknown) =>
          call.log.warn(`can't remove the volume ${record.name} of a container that is no more: ${String(error)}`),
        );
      }
    },
  };
}
