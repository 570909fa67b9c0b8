/** Creates a container: finds the image, reserves the name, prepares the read-write layer, keeps the record. */
import { join, posix } from "node:path";
import {
  type ActiveKey,
  type Call,
  type Container,
  type ContainerConfig,
  type ContainerId,
  type ContainerLog,
  cleanupCall,
  type ExecDriver,
  fail,
  type Image,
  isTsboxError,
  type Mount,
  type NetworkWish,
  newContainerId,
  type Sparse,
  signalNumber,
  supports,
  withCleanup,
  withMounts,
} from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { diskDirectory } from "./directories.ts";
import { dropEarly, type EarlyShimNeeds, spawnEarly } from "./early-shims.ts";
import type { Drivers, Engine, Services } from "./engine.ts";
import { freshHealth, healthCheckOf } from "./health-check.ts";
import { type SettledLog, settleLog } from "./log-drivers/settle.ts";
import { resolveMounts } from "./mounts/resolve.ts";
import { networkPeer, peerOf } from "./namespaces.ts";
import { selinuxLabels } from "./selinux.ts";
import { settled } from "./settled.ts";
import { startedAtOnce } from "./settling.ts";
import { capabilitiesOf } from "./spec/build.ts";

/** The parts of the engine that `create` needs. */
export type CreateNeeds = EarlyShimNeeds &
  Drivers &
  Services &
  Pick<Engine, "call" | "events" | "hooks" | "logOptions" | "rootDirectory" | "selinux" | "settling">;

export async function create(
  engine: CreateNeeds,
  call: Call,
  name: string | null,
  asked: ContainerConfig,
  { starting = false }: Sparse<{ starting: boolean }> = {},
): Promise<Container> {
  const id = newContainerId();
  return withCleanup(async (cleanup) => {
    const taken = engine.records.reserve(name, id);
    cleanup.undo(async () => engine.records.release(taken));
    // Invalid capabilities are refused before anything is created.
    capabilitiesOf(asked);
    const image = await engine.images.ensure(call, asked.image, asked.platform === null ? {} : { platform: asked.platform });
    const log = await named(settleLog(engine, call, asked.log));
    const config = { ...withImage(asked, image, id), log: log.config };
    const argv = [...(config.entrypoint ?? []), ...(config.command ?? [])];
    if (argv.length === 0) throw fail("InvalidArgument", "No command specified: the image has none, so give one");
    const networks = await named(networksOf(engine, call, config));
    await named(checkPeers(engine, config));
    await engine.hooks.beforeCreate(call, config, id);
    if (starting) {
      // Errors are ignored here; the start reports them.
      await spawnEarly(engine, call, { id, config, networks }).catch(() => {});
      cleanup.undo(async () => {
        await dropEarly(engine, cleanupCall(call), id);
        engine.records.discard(id);
      });
    }
    const drivers = {
      storage: config.storage ?? (await engine.preferred("storage")),
      exec: config.exec ?? (await engine.preferred("exec")),
    };
    await checkFormat(await named(engine.exec(drivers.exec)), call, drivers.exec, config);
    const storage = await named(engine.storage(drivers.storage));
    const parent = await engine.images.unpack(call, image.id, drivers.storage);
    const layer = `container-${id}` as ActiveKey;
    const { points, fills } = await resolveMounts(engine, call, { id, config, storage, storageId: drivers.storage, cleanup });
    const record: Container = {
      id,
      name: taken,
      createdAt: Date.now(),
      config,
      imageId: image.id,
      imageName: asked.image,
      platform: image.platform.os,
      drivers,
      layer,
      mounts: points,
      networks,
      argv,
      status: "created",
      pid: null,
      startedAt: null,
      exit: null,
      error: "",
      restartCount: 0,
      health: config.healthCheck === null ? null : freshHealth,
      restart: { stopped: false, backoff: 0, wanted: false, at: null },
      endpoints: [],
      log: logOf(engine, id, config, log),
      idMaps: null,
      selinux: selinuxLabels(engine, config),
      warnings: [],
    };
    cleanup.undo(() => engine.records.drop(cleanupCall(call), record));
    cleanup.undo(() => storage.remove(cleanupCall(call), layer).catch(unlessMissing));
    const later = starting && !config.autoRemove && supports(storage, "settle");
    const preparing = storage.prepare(call, layer, parent, {
      volatile: config.autoRemove || later,
      discarded: config.autoRemove,
      // A driver without quotas refuses the option itself.
      ...(config.quotaBytes === null ? {} : { quotaBytes: config.quotaBytes }),
    });
    // In parallel, because both wait for the disk. If a power cut loses the layer, `restore` drops the record.
    if (!later) await settled(preparing, engine.records.keep(call, record));
    else {
      await preparing;
      // Written while the container starts, because the disk is slower than a start.
      engine.settling.add(id, settled(storage.settle(engine.call(), layer), engine.records.keep(engine.call(), startedAtOnce(record))));
    }
    // A start creates the directory itself.
    if (!starting && asked.workingDirectory !== "") await makeWorkingDirectory(engine, call, config, await storage.mounts(call, layer));
    if (fills.length > 0)
      await withMounts(call, engine.host, await storage.mounts(call, layer), async (root) => {
        for (const { name, target } of fills) await engine.volumes.fill(call, name, id, root, target);
      });
    engine.records.note(record);
    await engine.events.publish(call, { type: "container", action: "create", id, attributes: attributes(record) });
    return record;
  });
}

/** Options in words of one format are refused by every other one: they would have no effect. */
async function checkFormat(driver: ExecDriver, call: Call, id: string, { formatOptions, privileged }: ContainerConfig): Promise<void> {
  if (formatOptions.length === 0) return;
  if (!supports(driver, "options"))
    throw fail("InvalidArgument", `--lxc-conf: the exec driver ${id} takes no options of its own; leave it out, or use --exec lxc`);
  await driver.checkOptions(call, formatOptions, { privileged });
}

/**
 * Waits for something that the request names. `NotFound` and `DriverMissing` become `InvalidArgument`: docker's client takes "not found"
 * from a create for a missing image, and would pull it.
 */
async function named<T>(finding: Promise<T>): Promise<T> {
  try {
    return await finding;
  } catch (error) {
    if (isTsboxError(error) && (error.code === "NotFound" || error.code === "DriverMissing"))
      throw fail("InvalidArgument", error.message, { cause: error });
    throw error;
  }
}

/** As in Docker, the containers whose pid and ipc namespaces are joined must exist; that they run is checked at the start. */
async function checkPeers({ records }: Pick<Engine, "records">, { isolation }: ContainerConfig): Promise<void> {
  for (const mode of [isolation.pid, isolation.ipc]) {
    const peer = peerOf(mode);
    if (peer !== null) records.find(peer);
  }
}

/** Ignores `NotFound`: the object may be gone already. */
export function unlessMissing(error: unknown): void {
  if (!isTsboxError(error) || error.code !== "NotFound") throw error;
}

/** The network of the container's network mode, and the others that it joins. A container in another's network namespace has none. */
async function networksOf(engine: Pick<Engine, "networks">, call: Call, config: ContainerConfig): Promise<readonly NetworkWish[]> {
  if (networkPeer(config) !== null) return [];
  const { network, address, mac } = config;
  const more: NetworkWish[] = [];
  for (const wish of config.networks) more.push({ ...wish, network: (await engine.networks.get(call, wish.network)).name });
  return [{ network, address, mac }, ...more.filter((wish) => wish.network !== network)];
}

/**
 * Creates the working directory in the layer, so that files can be copied there before the first start. Mounting a tmpfs there briefly
 * creates the mount point.
 */
async function makeWorkingDirectory(
  engine: Pick<Engine, "host">,
  call: Call,
  { workingDirectory }: ContainerConfig,
  layer: readonly Mount[],
): Promise<void> {
  const target = posix.normalize(workingDirectory);
  if (target === "/") return;
  try {
    await withMounts(call, engine.host, [...layer, { type: "tmpfs", source: "tmpfs", target, options: [] }], async () => {});
  } catch (error) {
    // move_mount(2) fails with EINVAL for a directory on a file.
    if (!isTsboxError(error) || !(error.errno === 20 || (error.errno === 22 && error.syscall === "move_mount"))) throw error;
    throw fail("InvalidArgument", `Cannot mkdir: ${workingDirectory} is not a directory`, { cause: error });
  }
}

/** Refuses an unknown signal now: it would make every `stop` fail. */
function checkSignal(name: string): string {
  signalNumber(name);
  return name;
}

/** Docker's rules of merging: if the user gives an entrypoint, the image's command does not apply. */
function withImage(asked: ContainerConfig, image: Image, id: ContainerId): ContainerConfig {
  const given = new Set(asked.env.map((pair) => pair.split("=", 1)[0]));
  const ownEntrypoint = asked.entrypoint !== null;
  return {
    ...asked,
    env: [...image.config.env.filter((pair) => !given.has(pair.split("=", 1)[0])), ...asked.env],
    entrypoint: ownEntrypoint ? asked.entrypoint.filter((word, at) => at > 0 || word !== "") : image.config.entrypoint,
    command: asked.command ?? (ownEntrypoint ? null : image.config.command),
    workingDirectory: asked.workingDirectory || image.config.workingDirectory || "/",
    user: asked.user || image.config.user,
    hostname: asked.hostname || (asked.network === "host" ? "" : id.slice(0, 12)),
    labels: { ...image.config.labels, ...asked.labels },
    healthCheck: healthCheckOf(asked.healthRequest, image.config.healthCheck),
    shell: asked.shell ?? image.config.shell,
    stopSignal: checkSignal(asked.stopSignal || image.config.stopSignal || "SIGTERM"),
    volumes: [...new Set([...image.config.volumes, ...asked.volumes])],
    exposedPorts: [...new Set([...image.config.exposedPorts, ...asked.exposedPorts])],
  };
}

/**
 * The log is always bounded. The log of a container with `--rm` lies on tmpfs, which is memory, so its limit is lower. A log that is sent
 * is the queue of what its driver has not taken yet: it lies on disk.
 */
function logOf(
  engine: Pick<Engine, "records" | "rootDirectory">,
  id: ContainerId,
  { autoRemove }: ContainerConfig,
  log: SettledLog,
): ContainerLog {
  const inMemory = autoRemove && !log.sends;
  const directory = inMemory ? engine.records.directory(id) : diskDirectory(engine, id);
  return {
    driver: log.format,
    path: join(directory, "log"),
    maxBytes: log.maxBytes ?? (inMemory ? 4 << 20 : 20 << 20),
    maxFiles: log.maxFiles ?? (inMemory ? 2 : 5),
    sent: log.sends,
  };
}
