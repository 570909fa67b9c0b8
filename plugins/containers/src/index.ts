/** The plugin of the service `containers`. A `run` passes through create.ts, start.ts and end.ts, in this order. */
import { setTimeout as pause } from "node:timers/promises";
import { type ExecDriver, fail, type LogDriver, type Plugin, type PluginContext, type Strings, settingsOf } from "@tsbox/kernel";
import { AppArmor } from "./apparmor.ts";
import { later } from "./background.ts";
import { defaultDirectories } from "./cdi/registry.ts";
import { type CgroupDriverName, cgroupDriver } from "./cgroup-driver.ts";
import { endUnhealthy } from "./ending.ts";
import type { Engine } from "./engine.ts";
import { Execs } from "./exec-table.ts";
import { endStrangers } from "./formats.ts";
import { HealthWatch } from "./health-watch.ts";
import { IdRanges } from "./id-ranges.ts";
import { Locks } from "./locks.ts";
import { Followers, followAgain } from "./log-drivers/followers.ts";
import { Migrations } from "./migrations.ts";
import { sweepCgroups } from "./orphans.ts";
import { Records } from "./records.ts";
import { Restarts } from "./restart-timers.ts";
import { restore } from "./restore.ts";
import { Roots } from "./roots.ts";
import { kernelHasSelinux } from "./selinux.ts";
import { containersService, listen, resumeWork } from "./service.ts";
import { Settling } from "./settling.ts";
import { Shims } from "./shims.ts";
import { Unwritten } from "./unwritten.ts";
import { Waiters } from "./waiters.ts";

interface Config {
  /** Who owns the cgroups of containers: `cgroupfs` (the engine) or `systemd` (a scope for each). Default: `"cgroupfs"`. */
  readonly cgroupDriver: CgroupDriverName;
  /** The user namespace of containers that ask for none; `private` is Docker's `userns-remap`. Default: `"host"`. */
  readonly userns: "host" | "private";
  /** Whether containers have SELinux labels: Docker's `selinux-enabled`. Default: `false`. */
  readonly selinux: boolean;
  /** Log options of containers that have the default log driver: Docker's `log-opts`. Default: `{}`. */
  readonly logOptions: Strings;
  /** Directories of CDI specs; the last one overrides those before it. Default: `["/etc/cdi","/var/run/cdi"]`. */
  readonly cdiSpecDirs: readonly string[];
}

const plugin: Plugin<Config> = {
  parseConfig(raw) {
    const asked = settingsOf(raw, ["cgroupDriver", "userns", "selinux", "logOptions", "cdiSpecDirs"]);
    const { cgroupDriver: named = "cgroupfs", userns = "host", selinux = false, logOptions = {}, cdiSpecDirs = defaultDirectories } = asked;
    if (named !== "cgroupfs" && named !== "systemd")
      throw fail("InvalidArgument", `cgroupDriver ${JSON.stringify(named)} is none: give cgroupfs or systemd`);
    if (userns !== "host" && userns !== "private")
      throw fail("InvalidArgument", `userns ${JSON.stringify(userns)} is none: give host or private`);
    if (typeof selinux !== "boolean") throw fail("InvalidArgument", `selinux ${JSON.stringify(selinux)} is neither true nor false`);
    if (!isStrings(logOptions)) throw fail("InvalidArgument", `logOptions ${JSON.stringify(logOptions)} is no object of strings`);
    if (!Array.isArray(cdiSpecDirs) || !cdiSpecDirs.every((path) => typeof path === "string" && path.startsWith("/")))
      throw fail("InvalidArgument", `cdiSpecDirs ${JSON.stringify(cdiSpecDirs)} is no list of absolute paths`);
    return { cgroupDriver: named, userns, selinux, logOptions, cdiSpecDirs };
  },
  setup(context: PluginContext<Config>): void {
    const hooks = {
      buildSpec: context.provideHook("buildSpec", "change"),
      beforeCreate: context.provideHook("beforeCreate", "veto"),
      beforeStart: context.provideHook("beforeStart", "veto"),
      started: context.provideHook("started", "observe"),
      beforeExec: context.provideHook("beforeExec", "veto"),
      exited: context.provideHook("exited", "observe"),
      beforeRemove: context.provideHook("beforeRemove", "veto"),
      removed: context.provideHook("removed", "observe"),
    };
    let engine: Engine | undefined;
    context.provideService("containers", {
      open: async (call) => {
        const host = await context.service("host");
        const records = new Records(
          await context.service("state"),
          context.stateDirectory,
          new Unwritten((text) => context.call().log.warn(text)),
        );
        const swept = new Set<string>();
        const exec = async (id: string): Promise<ExecDriver> => {
          const driver = await context.driver("exec", id);
          // At its first use, not at the start of the daemon: a format that nobody uses need not be opened.
          if (engine !== undefined && !swept.has(id)) {
            const whole = engine;
            swept.add(id);
            later(whole, () => endStrangers(whole, context.call(), driver));
          }
          return driver;
        };
        const log = (id: string): Promise<LogDriver> => context.driver("log", id);
        const launcher = await context.service("launcher");
        const kernel = await context.service("engine");
        engine = {
          engineId: context.engineId,
          rootDirectory: context.rootDirectory,
          records,
          waiters: new Waiters(),
          execs: new Execs(),
          images: await context.service("images"),
          networks: await context.service("networks"),
          volumes: await context.service("volumes"),
          events: await context.service("events"),
          shims: new Shims({ launcher, host, directory: (id) => records.directory(id), exec }),
          host,
          apparmor: new AppArmor(host, context.rootDirectory),
          selinux: context.config.selinux && kernelHasSelinux,
          cdiSpecDirs: context.config.cdiSpecDirs,
          cgroups: cgroupDriver(context.config.cgroupDriver, context.engineId, host),
          roots: new Roots(),
          locks: new Locks(),
          idRanges: new IdRanges(),
          users: new Map(),
          early: new Map(),
          settling: new Settling(),
          restarts: new Restarts(),
          kept: new Map(),
          removing: new Set(),
          leftBehind: new Map(),
          migrations: new Migrations(),
          starts: new Map(),
          healthWatch: new HealthWatch(),
          followers: new Followers({ log }, (options) => context.call(options)),
          logOptions: context.config.logOptions,
          onUnhealthy: async (id, startedAt) => {
            if (engine) await endUnhealthy(engine, id, startedAt);
          },
          outOfMemory: new Set(),
          background: new Set(),
          hooks,
          storage: (id) => context.driver("storage", id),
          log,
          exec,
          prefer: (own, kind, id) => kernel.prefer(own, kind, id),
          preferred: async (kind) => (await context.preferred(kind)) ?? "",
          logIds: () => context.installed("log"),
          storageIds: async () => (await context.drivers("storage")).filter(({ usable }) => usable).map(({ id }) => id),
          call: (options) => context.call(options),
        };
        if (context.config.selinux && !kernelHasSelinux)
          call.log.warn("SELinux is configured, and this host's kernel runs without it: containers have no labels");
        await restore(engine, call);
        void listen(engine);
        return containersService(engine, context.config);
      },
    });
    // Restarts begin only when every service that a start needs is ready.
    context.tap("ready", async () => {
      if (engine) resumeWork(engine);
      if (engine) followAgain(engine.followers, engine.records.all());
    });
    // Before any service closes: cleanup that is in progress needs all of them.
    context.tap("shutdown", async () => {
      engine?.restarts.close();
      engine?.healthWatch.close();
      await engine?.followers.close();
      while (engine && engine.background.size > 0) await Promise.all(engine.background);
      if (engine) await leaveNothing(engine);
    });
  },
};
export default plugin;

function isStrings(value: unknown): value is Strings {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every((each) => typeof each === "string")
  );
}

/** Waits for the shims of ended containers: they remove their cgroups themselves, shortly after they have reported the end. */
async function leaveNothing(engine: Engine): Promise<void> {
  const call = engine.call();
  for (let attempts = 50; attempts > 0; attempts -= 1) {
    const ending = (await engine.shims.ids(call)).filter((id) => !engine.records.has(id) || engine.records.byId(id).status === "exited");
    if (ending.length === 0) break;
    await pause(20);
  }
  await sweepCgroups(engine);
}
