/** Starts a container. Each step asks one service. A failure undoes the steps before it, so no partial state remains. */
import { existsSync } from "node:fs";
import {
  type Call,
  type Container,
  type ContainerId,
  cleanupCall,
  type EndpointRecord,
  fail,
  isTsboxError,
  type Mount,
  type OciSpec,
  type Sparse,
  type Started,
  type StartOptions,
  type StartReport,
  withCleanup,
} from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { later } from "./background.ts";
import { edited } from "./cdi/edits.ts";
import { CdiRegistry } from "./cdi/registry.ts";
import { devicesRequested } from "./cdi/requests.ts";
import { diskDirectory, makeDiskDirectory } from "./directories.ts";
import { type EarlyShimNeeds, takeShim } from "./early-shims.ts";
import type { Engine, HostChoices, Services } from "./engine.ts";
import { explained, forgetEnd } from "./formats.ts";
import { ownerOf } from "./groups.ts";
import { type HealthNeeds, watchHealth } from "./health.ts";
import { freshHealth } from "./health-check.ts";
import { attach, release } from "./mounts/live.ts";
import { namespaceSources } from "./namespaces.ts";
import { connectAll } from "./networks.ts";
import { clearAfter } from "./orphans.ts";
import { isKept } from "./restart-policy.ts";
import { labelled, sharedLabel } from "./selinux.ts";
import { buildSpec, type ResolvedUser } from "./spec/build.ts";
import { blockDevices, devicesOf } from "./spec/devices.ts";
import { keepTemplate } from "./spec/exec-process.ts";
import { filesOf, makeFiles, writeFiles } from "./spec/files.ts";
import { blockDevicesOf } from "./spec/limits.ts";
import { type LabelModules, withoutAppArmor } from "./spec/security.ts";
import { resolveUser } from "./spec/user.ts";

/** The parts of the engine that a start needs. */
export type StartNeeds = EarlyShimNeeds &
  HealthNeeds &
  HostChoices &
  Services &
  Pick<Engine, "engineId" | "followers" | "removing" | "rootDirectory" | "roots" | "settling" | "starts" | "users">;

export async function start(engine: StartNeeds, call: Call, record: Container, options: Sparse<StartOptions>): Promise<StartReport> {
  const { id, config } = record;
  if (record.status === "paused") throw fail("FailedPrecondition", "cannot start a paused container, try unpause instead");
  if (record.status === "running")
    throw fail("FailedPrecondition", `container ${record.name} is running already`, { reason: "containers/already-running" });
  if (engine.removing.has(id)) throw fail("Conflict", "container is marked for removal and cannot be started");
  const phases: [string, number][] = [];
  let mark = performance.now();
  const phase = (name: string): void => {
    const now = performance.now();
    phases.push([name, now - mark]);
    mark = now;
  };
  // The durable record already says that it runs: since its last start, or since its `create`.
  const isWritten = record.status === "restarting" || engine.settling.has(id);
  // Once a start is given up, what fails in it says nothing more.
  let givenUp: Error | null = null;
  return withCleanup(async (cleanup) => {
    const directory = engine.records.makeDirectory(id);
    // Requested first, since it may already exist: the shim creates its network namespace while the layer is prepared. Its failure is
    // reported where it is awaited.
    const spawning = takeShim(engine, call, record);
    spawning.catch(() => {});
    cleanup.undo(async () => {
      // A shim can be abandoned only after it has been requested.
      await spawning.catch(() => {});
      await engine.shims.abandon(cleanupCall(call), id);
      // A shim that was killed before it could report the start has left a process that nobody else knows.
      await clearAfter(engine, cleanupCall(call), ownerOf(record));
      await forgetEnd(engine, cleanupCall(call), record);
    });
    cleanup.undo(async () => engine.idRanges.free(id));
    const given = Promise.withResolvers<never>();
    given.promise.catch(() => {});
    engine.starts.set(id, () => {
      givenUp = fail("Conflict", `the start of container ${record.name} was given up: it was stopped, killed or removed meanwhile`);
      given.reject(givenUp);
      void engine.shims.abandon(engine.call(), id);
    });
    cleanup.always(() => engine.starts.delete(id));
    await engine.hooks.beforeStart(call, id);
    const namespaces = namespaceSources(engine.records, record);
    const storage = await engine.storage(record.drivers.storage);
    const exec = await engine.exec(record.drivers.exec);
    await Promise.race([engine.roots.settled(id), given.promise]);
    const rootfs = await labelled(engine, call, record.selinux, await storage.mounts(call, record.layer));
    const user = await userOf(engine, call, record, rootfs);
    const idMaps = config.isolation.user === "private" ? engine.idRanges.of(id) : null;
    cleanup.undo(() => release(engine, cleanupCall(call), record));
    const mounts = await attach(engine, call, record, idMaps);
    const onDisk = makeDiskDirectory(engine, id);
    // A container that joins another container's network namespace uses that container's files, if they exist.
    const shared = namespaces.networkOf === null ? null : diskDirectory(engine, namespaces.networkOf.id);
    const isOwn = shared === null || filesOf(shared).some(([, file]) => !existsSync(file));
    const files = filesOf(isOwn ? onDisk : shared);
    if (isOwn) makeFiles(onDisk);
    if (record.selinux !== null) for (const [, file] of files) await engine.host.relabel(call, file, sharedLabel(record.selinux));
    const labels = await labelModules(engine, call, record);
    phase("layer and mounts");

    const shim = await spawning;
    phase("shim");

    const netns = namespaces.networkOf === null ? shim.netns : namespaces.network;
    // In parallel with all that follows, until the process is ready to run.
    const connecting = connectAll(engine, call, record, shim.netns);
    const connected = connecting.catch((): readonly EndpointRecord[] => []);
    cleanup.undo(async () => {
      for (const endpoint of await connected) await engine.networks.disconnect(cleanupCall(call), endpoint);
    });

    const hostname = config.hostname || hostnameOf(config.network, id);
    const input = {
      id,
      config: namespaces.networkOf === null ? config : { ...config, hostname: namespaces.networkOf.config.hostname },
      argv: record.argv,
      user,
      cgroup: await engine.cgroups.place(call, record, shim.shimPid),
      namespaces,
      netns,
      userns: shim.userns === null || idMaps === null ? null : { path: shim.userns, maps: idMaps },
      files,
      mounts,
      devices: devicesOf(config),
      blockDevices: blockDevices(blockDevicesOf(config.resources)),
      labels,
    };
    const spec = await engine.hooks.buildSpec(call, await withRequested(engine, call, record, buildSpec(input)), id);
    const shown = idMaps === null ? rootfs : rootfs.map((mount) => ({ ...mount, idMaps }));
    const { formatOptions } = record.config;
    const bundle = { id, directory, spec, rootfs: shown };
    const launch = await exec.plan(call, formatOptions.length === 0 ? bundle : { ...bundle, options: formatOptions });
    await keepTemplate(call, engine.host, directory, spec, launch);
    phase("plan");

    const { client } = options;
    if (client) engine.waiters.expectFlush(id, client.client);
    const size = options.size ?? client?.size ?? { rows: 24, columns: 80 };
    const starting = engine.shims
      .start(call, id, {
        launch,
        rootfs: shown,
        terminal: config.terminal ? size : null,
        stdin: config.openStdin,
        stdinOnce: config.stdinOnce,
        log: record.log,
        client: client ?? null,
      })
      .catch(async (thrown: unknown) => {
        throw await explained(call, exec, launch, thrown);
      });
    const ready = async (): Promise<readonly EndpointRecord[]> => {
      try {
        const endpoints = await connecting;
        if (isOwn) writeFiles(onDisk, config, hostname, endpoints, netns === null);
        phase("network");
        await engine.shims.release(call, id);
        return endpoints;
      } catch (thrown) {
        await engine.shims.abandon(cleanupCall(call), id);
        throw thrown;
      }
    };
    const [endpoints, started] = await both(ready(), starting);
    phase("start");
    for (const warning of started.warnings) call.log.warn(warning, { container: id.slice(0, 12) });
    const running: Container = {
      ...record,
      status: "running",
      pid: started.pid,
      startedAt: Date.now(),
      exit: null,
      error: "",
      endpoints,
      idMaps,
      health: config.healthCheck === null ? null : freshHealth,
      warnings: started.warnings,
    };
    engine.records.note(running);
    engine.followers.follow(running);
    // On disk, too: after a restart of the host the container counts as one that ran. Only a container that must then run again waits for
    // the write.
    if (!isWritten) {
      const kept = engine.records.keep(engine.call(), running);
      if (isKept(record)) await kept;
      else later(engine, () => kept);
    }
    await engine.events.publish(call, { type: "container", action: "start", id, attributes: attributes(record) });
    await engine.hooks.started(call, id);
    watchHealth(engine, running);
    phase("record");
    return {
      timings: [...phases, ...started.timings.map(([stage, time]) => [`start: ${stage}`, time] as const)],
      warnings: started.warnings,
    };
  }).catch((error: unknown) => {
    throw givenUp ?? error;
  });
}

/**
 * Waits for both network and process. If the network fails, the process gives up (stage `hold`), and the network's error says more. Any
 * other failure of the process takes precedence: if its shim ends, the network namespace is gone and the network fails, too.
 */
async function both<E>(network: Promise<E>, process: Promise<Started>): Promise<[E, Started]> {
  const [connected, started] = await Promise.allSettled([network, process]);
  const gaveUp = started.status === "rejected" && isTsboxError(started.reason) && started.reason.stage === "hold";
  if (started.status === "rejected" && !gaveUp) throw started.reason;
  if (connected.status === "rejected") throw connected.reason;
  if (started.status === "rejected") throw started.reason;
  return [connected.value, started.value];
}

/** Adds devices that are requested by name. Most containers request none, and then no file is read. */
async function withRequested(engine: Pick<Engine, "cdiSpecDirs">, call: Call, { id, config }: Container, spec: OciSpec): Promise<OciSpec> {
  if (config.deviceRequests.length === 0) return spec;
  const registry = await CdiRegistry.read(engine.cdiSpecDirs);
  for (const warning of registry.warnings) call.log.warn(warning, { container: id.slice(0, 12) });
  return edited(spec, registry.editsFor(devicesRequested(config.deviceRequests, registry)));
}

/** The labels that this host's security modules provide. AppArmor's default profile is loaded only for containers that need it. */
async function labelModules({ apparmor }: Pick<Engine, "apparmor">, call: Call, { config, selinux }: Container): Promise<LabelModules> {
  const profile = withoutAppArmor(config) ? null : await apparmor.profile(call);
  return { apparmor: profile === null ? null : { defaultProfile: profile }, selinux };
}

/**
 * Resolves the container's user. The result is shared by all containers of the image that have never run, because their files are the
 * image's.
 */
async function userOf(
  engine: Pick<Engine, "host" | "users">,
  call: Call,
  record: Container,
  rootfs: readonly Mount[],
): Promise<ResolvedUser> {
  const fresh = record.startedAt === null;
  const { user: asked, groupAdd } = record.config;
  const key = [record.imageId, record.drivers.storage, asked, ...groupAdd].join(" ");
  const known = fresh ? engine.users.get(key) : undefined;
  if (known) return known;
  const user = await resolveUser(call, engine.host, rootfs, asked, groupAdd);
  if (fresh) engine.users.set(key, user);
  return user;
}

function hostnameOf(network: string, id: ContainerId): string {
  return network === "host" ? "" : id.slice(0, 12);
}
