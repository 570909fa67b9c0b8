/**
 * The host reads the list of plugins, refuses plugins that do not fit, imports the others concurrently and sets them up in the order of
 * their needs. It opens a service as soon as the services that it needs are open, and a driver at its first use. It closes everything in
 * reverse order. An error on the way gets its plugin's name, and everything that is open is closed.
 */
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { type AwilixContainer, asValue, createContainer, InjectionMode } from "awilix";
import { createCall } from "../call.ts";
import { withCleanup } from "../cleanup.ts";
import type { Call, Logger } from "../contract/call.ts";
import type { DriverChoice, EngineService, PluginStatus } from "../contract/engine.ts";
import type { DriverKind, Drivers, Plugin, Probe, ServiceKind, Services } from "../contract/plugin.ts";
import { contractVersions } from "../contract/versions.ts";
import { fail } from "../errors/index.ts";
import { HookRegistry } from "../hooks.ts";
import { Choices } from "./choice.ts";
import { type EngineConfig, type PluginEntry, readEngineList } from "./config.ts";
import { makeContext } from "./context.ts";
import { defaultGrace, defaultLimit, driverLimits, guard, hookLimit } from "./guard.ts";
import { importPlugin } from "./import-plugin.ts";
import { type LoadedManifest, readManifest } from "./manifest.ts";
import { type Agreement, negotiate } from "./negotiate.ts";
import { type Answer, type LoadedPlugin, type Offer, type OfferLimits, offerLimits } from "./plugin-state.ts";
import { stamped } from "./stamp.ts";
import { checkVerbs } from "./verbs.ts";

export interface HostOptions {
  /** The path of the engine's own list of plugins. Packages are searched beside it, then below `<rootDirectory>/plugins`. */
  readonly engineList: string;
  readonly config: EngineConfig;
  readonly rootDirectory: string;
  readonly stateDirectory: string;
  readonly engineId: string;
  readonly log: Logger;
  /** Milliseconds between a verb's deadline and the moment when the caller gets the error without the driver's answer. */
  readonly grace?: number;
  /** In place of the default deadlines of probes, opening and closing. */
  readonly limits?: Partial<OfferLimits>;
}

export interface Host {
  service<K extends ServiceKind>(kind: K): Services[K];
  driver<K extends DriverKind>(kind: K, id: string): Promise<Drivers[K]>;
  /**
   * The id of this host's choice among the drivers of a kind. If none is usable, it is the first one's, whose opening says why. Null: there
   * is none.
   */
  preferred(kind: DriverKind): Promise<string | null>;
  /** All installed drivers of a kind, this host's choice first. */
  drivers(kind: DriverKind): Promise<readonly ({ readonly id: string } & Probe)[]>;
  call(options?: { readonly signal?: AbortSignal; readonly timeout?: number }): Call;
  /**
   * The plugin that provides an offer (`storage/zfs`), and its config from the list: for opening a second instance outside of the engine.
   * Null: no plugin.
   */
  provider(offer: string): { readonly plugin: Plugin; readonly config: unknown } | null;
  readonly hooks: HookRegistry;
  /** The name of the plugin whose code an error comes from, by its stack. Null: the engine's own. */
  pluginOf(error: Error): string | null;
  /** Calls `shutdown`, then closes everything in reverse order. The first error is thrown when everything is closed. */
  stop(): Promise<void>;
}

export async function startHost(options: HostOptions): Promise<Host> {
  const entries = merged(await readEngineList(options.engineList), options.config.plugins);
  const places = [join(options.engineList, ".."), join(options.rootDirectory, "plugins")];
  const manifests = await Promise.all(entries.map((entry) => readManifest(entry, places)));
  const agreement = negotiate(manifests, contractVersions, ["engine"]);
  refuseUnknown(agreement, options);
  const [choices, plugins] = await Promise.all([
    Choices.read(join(options.rootDirectory, "drivers.json"), options.config.drivers),
    Promise.all(agreement.order.map((manifest) => load(manifest, options.log))),
  ]);
  const host = new RunningHost(options, agreement, choices, plugins);
  await withCleanup(async (cleanup) => {
    cleanup.undo(() => host.close());
    await host.open();
  });
  return host;
}

/** An operator's entry replaces the engine's entry of the same name, or switches it off. */
function merged(engine: readonly PluginEntry[], operator: readonly PluginEntry[]): readonly PluginEntry[] {
  const entries = new Map<string, PluginEntry>();
  for (const list of [engine, operator]) {
    const seen = new Set<string>();
    for (const entry of list) {
      if (seen.has(entry.name)) throw fail("AlreadyExists", `two plugins are called ${entry.name}: give one of them another "name"`);
      seen.add(entry.name);
      const known = entries.get(entry.name);
      if (known === undefined && entry.package === "")
        throw fail(
          "NotFound",
          `the config file names the plugin ${entry.name} without a "package", and the engine has none of that name; it has ${engine.map(({ name }) => name).join(", ")}`,
        );
      entries.set(entry.name, { ...entry, package: entry.package === "" ? (known?.package ?? "") : entry.package });
    }
  }
  return [...entries.values()].filter(({ enabled }) => enabled !== false);
}

function refuseUnknown(agreement: Agreement, { config }: HostOptions): void {
  for (const [kind, id] of Object.entries(config.drivers)) {
    if (agreement.drivers.has(`${kind}/${id}`)) continue;
    const installed = [...agreement.drivers.keys()]
      .filter((offer) => offer.startsWith(`${kind}/`))
      .map((offer) => offer.slice(kind.length + 1));
    throw fail(
      "NotFound",
      `the config file names the ${kind} driver ${id}, which is not installed (installed: ${installed.join(", ") || "none"}); add its plugin to "plugins"`,
    );
  }
  const bounded = ["hook", ...new Set([...agreement.drivers.keys()].map((offer) => offer.slice(0, offer.indexOf("/"))))];
  for (const kind of Object.keys(config.deadlines)) {
    if (!bounded.includes(kind) && !(kind in driverLimits))
      throw fail(
        "InvalidArgument",
        `the config file's "deadlines" names ${kind}, which is no kind of driver; known are ${bounded.join(", ")}`,
      );
  }
  for (const { entry, isolation } of agreement.order) {
    if ((config.isolation[entry.name] ?? isolation) === "process") {
      throw fail(
        "Unsupported",
        `${entry.name} is to run in a process of its own, which this version can't do yet; set "isolation": {"${entry.name}": "none"} in the config file to run it in the daemon`,
      );
    }
  }
}

async function load(manifest: LoadedManifest, log: Logger): Promise<LoadedPlugin> {
  const { name } = manifest.entry;
  const module = await importPlugin(manifest);
  return { manifest, name, log: named(log, name), module, home: realpathSync(manifest.directory), offers: new Map() };
}

function named(log: Logger, plugin: string): Logger {
  const at =
    (level: keyof Logger): Logger["info"] =>
    (text, fields) =>
      log[level](text, { plugin, ...fields });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

class RunningHost implements Host {
  readonly hooks: HookRegistry;
  readonly #options: HostOptions;
  readonly #agreement: Agreement;
  readonly #choices: Choices;
  readonly #plugins: readonly LoadedPlugin[];
  readonly #container: AwilixContainer;
  readonly #offers = new Map<string, { readonly offer: Offer; readonly plugin: LoadedPlugin }>();
  readonly #opened: { readonly offer: Offer; readonly value: unknown }[] = [];
  readonly #stopping = new AbortController();
  readonly #callHook: { readonly ready: (call: Call) => Promise<void>; readonly shutdown: (call: Call) => Promise<void> };
  #stopped: Promise<void> | undefined;

  constructor(options: HostOptions, agreement: Agreement, choices: Choices, plugins: readonly LoadedPlugin[]) {
    this.#options = options;
    this.#agreement = agreement;
    this.#choices = choices;
    this.#plugins = plugins;
    const seconds = options.config.deadlines.hook;
    this.hooks = new HookRegistry(options.log, {
      limit: seconds === undefined ? hookLimit : seconds * 1000,
      grace: options.grace ?? defaultGrace,
    });
    this.#callHook = {
      ready: this.hooks.provide("kernel", "ready", "observe"),
      shutdown: this.hooks.provide("kernel", "shutdown", "observe"),
    };
    this.#container = createContainer({ injectionMode: InjectionMode.PROXY, strict: true });
    this.#container.register("engine", asValue(this.#engineService()));
  }

  async open(): Promise<void> {
    for (const plugin of this.#plugins) this.#setUp(plugin);
    this.hooks.seal();
    const services = [...this.#offers.values()].filter(({ offer }) => !offer.name.includes("/"));
    const results = await Promise.allSettled(services.map(({ offer }) => this.#openService(offer.name)));
    for (const result of results) if (result.status === "rejected") throw result.reason;
    await this.#refuseUnusable();
    await this.#choices.settle();
    await this.#callHook.ready(this.call());
  }

  /** A driver that the operator names must work: without it, each of its users would fail. */
  async #refuseUnusable(): Promise<void> {
    for (const [kind, id] of Object.entries(this.#options.config.drivers)) {
      const probe = await this.#probed(`${kind}/${id}`, "probe");
      if (!probe.usable)
        throw fail("Unsupported", `the config file names the ${kind} driver ${id}, which can't be used here: ${probe.reason}`);
    }
  }

  service<K extends ServiceKind>(kind: K): Services[K] {
    return this.#container.resolve<Services[K]>(kind);
  }

  async driver<K extends DriverKind>(kind: K, id: string): Promise<Drivers[K]> {
    const entry = this.#offers.get(`${kind}/${id}`);
    if (entry === undefined)
      throw fail("DriverMissing", `no ${kind} driver is called ${id}; installed: ${this.#ids(kind).join(", ") || "none"}`);
    const call = this.call();
    const needs = (): Promise<void> => this.#openNeeds(entry.plugin);
    const driver = await entry.offer.open(call, needs, (value) => {
      checkVerbs(value, entry.offer.name, entry.plugin.name);
      this.#opened.push({ offer: entry.offer, value });
      return guard(value, { offer: entry.offer.name, plugin: entry.plugin.name, limit: this.#limit(kind), grace: this.#grace });
    });
    return driver as Drivers[K];
  }

  async preferred(kind: DriverKind): Promise<string | null> {
    const choice = await this.#choices.choose(
      kind,
      () => this.#ranked(kind),
      (id) => this.#probed(`${kind}/${id}`, "probe"),
    );
    return choice?.id ?? this.#ids(kind)[0] ?? null;
  }

  async drivers(kind: DriverKind): Promise<readonly ({ readonly id: string } & Probe)[]> {
    const chosen = await this.preferred(kind);
    const all = await Promise.all(
      this.#ids(kind).map(async (id) => {
        const { unsure: _, ...probe } = await this.#probed(`${kind}/${id}`, "look");
        return { id, ...probe };
      }),
    );
    return all.sort((a, b) => Number(b.id === chosen) - Number(a.id === chosen));
  }

  async #probed(name: string, how: "probe" | "look"): Promise<Answer> {
    const { offer, plugin } = this.#entry(name);
    await this.#openNeeds(plugin);
    return offer[how](this.call());
  }

  get #grace(): number {
    return this.#options.grace ?? defaultGrace;
  }

  /** Milliseconds for one verb of a driver of this kind. */
  #limit(kind: string): number {
    const seconds = this.#options.config.deadlines[kind];
    return seconds === undefined ? (driverLimits[kind] ?? defaultLimit) : seconds * 1000;
  }

  call(options: { readonly signal?: AbortSignal; readonly timeout?: number } = {}): Call {
    return createCall(this.#options.log, options);
  }

  provider(offer: string): { readonly plugin: Plugin; readonly config: unknown } | null {
    const plugin = this.#offers.get(offer)?.plugin;
    return plugin === undefined ? null : { plugin: plugin.module, config: plugin.manifest.entry.config };
  }

  pluginOf(error: Error): string | null {
    for (const line of (error.stack ?? "").split("\n")) {
      const from = this.#plugins.find(({ home }) => line.includes(`${home}/`));
      if (from !== undefined) return from.name;
    }
    return null;
  }

  stop(): Promise<void> {
    this.#stopped ??= withCleanup(async (cleanup) => {
      cleanup.always(() => this.close());
      await this.#callHook.shutdown(this.call());
    });
    return this.#stopped;
  }

  /** Closes everything in reverse order. An error does not stop it. */
  async close(): Promise<void> {
    this.#stopping.abort(fail("Canceled", "the engine is stopping"));
    // The order follows the plugins' needs, not the time of opening: a driver that was opened late is closed after the plugins that need
    // it.
    const rank = new Map(this.#plugins.map((plugin, index) => [plugin.name, index]));
    const opened = this.#opened.splice(0).sort((a, b) => (rank.get(a.offer.plugin) ?? 0) - (rank.get(b.offer.plugin) ?? 0));
    await withCleanup(async (cleanup) => {
      for (const { offer, value } of opened) cleanup.always(() => offer.close(this.call(), value));
    });
  }

  #setUp(plugin: LoadedPlugin): void {
    try {
      const { context, seal } = makeContext({
        plugin,
        config: plugin.module.parseConfig(plugin.manifest.entry.config),
        container: this.#container,
        hooks: this.hooks,
        rootDirectory: this.#options.rootDirectory,
        stateDirectory: this.#options.stateDirectory,
        engineId: this.#options.engineId,
        signal: this.#stopping.signal,
        limits: { ...offerLimits, grace: this.#grace, ...this.#options.limits },
        driver: (kind, id) => this.driver(kind, id),
        preferred: (kind) => this.preferred(kind),
        drivers: (kind) => this.drivers(kind),
      });
      plugin.module.setup(context);
      seal();
      const missing = Object.keys(plugin.manifest.provides).find((offer) => !plugin.offers.has(offer));
      if (missing !== undefined)
        throw fail("InvalidArgument", `${plugin.name} promises ${missing} in its manifest, but its setup does not provide it`);
    } catch (thrown) {
      throw stamped(thrown, plugin.name);
    }
    for (const [name, offer] of plugin.offers) this.#offers.set(name, { offer, plugin });
  }

  async #openService(kind: string): Promise<unknown> {
    const { offer, plugin } = this.#entry(kind);
    const call = this.call();
    const needs = (): Promise<void> => this.#openNeeds(plugin);
    return offer.open(call, needs, (value) => {
      this.#opened.push({ offer, value });
      const guarded = guard(value, { offer: kind, plugin: plugin.name, limit: Number.POSITIVE_INFINITY, grace: 0 });
      this.#container.register(kind, asValue(guarded));
      return guarded;
    });
  }

  /** Opens the services that a plugin needs. Drivers that it needs are opened when it asks for them. */
  async #openNeeds(plugin: LoadedPlugin): Promise<void> {
    const services = Object.keys(plugin.manifest.needs).filter((kind) => this.#agreement.services.has(kind));
    const results = await Promise.allSettled(services.map((kind) => this.#openService(kind)));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  #ids(kind: string): readonly string[] {
    return [...this.#agreement.drivers.keys()].flatMap((offer) => (offer.startsWith(`${kind}/`) ? offer.slice(kind.length + 1) : []));
  }

  /** The drivers of a kind that could be the host's default, the best first. Empty: none has a rank, so the kind has no default. */
  #ranked(kind: string): readonly string[] {
    const rank = (id: string): number => this.#entry(`${kind}/${id}`).plugin.manifest.rank[`${kind}/${id}`] ?? 0;
    const ids = this.#ids(kind);
    return ids.some((id) => rank(id) > 0) ? [...ids].sort((a, b) => rank(b) - rank(a)) : [];
  }

  #entry(name: string): { readonly offer: Offer; readonly plugin: LoadedPlugin } {
    const entry = this.#offers.get(name);
    if (entry === undefined) throw fail("Internal", `${name} was agreed on but is not set up`);
    return entry;
  }

  #engineService(): EngineService {
    return {
      plugins: async (call): Promise<readonly PluginStatus[]> => Promise.all(this.#plugins.map((plugin) => this.#status(plugin, call))),
      choices: async (): Promise<readonly DriverChoice[]> => this.#choices.made,
    };
  }

  async #status(plugin: LoadedPlugin, call: Call): Promise<PluginStatus> {
    const offers = await Promise.all(
      [...plugin.offers.values()].map(async (offer) => {
        const probe = await offer.look(call);
        const state = offer.failure !== null ? "failed" : probe.usable ? "ok" : "skipped";
        return {
          offer: offer.name,
          state,
          reason: offer.failure ?? (probe.usable ? null : probe.reason),
          hint: probe.usable ? null : probe.hint,
        } as const;
      }),
    );
    return { name: plugin.name, package: plugin.manifest.entry.package, version: plugin.manifest.version, offers };
  }
}
