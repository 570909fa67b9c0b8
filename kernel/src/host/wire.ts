/**
 * From loaded plugins to open services and drivers: sets the plugins up in the order of their needs, opens a service as soon as the
 * services that it needs are open, and a driver at its first use.
 */
import { join } from "node:path";
import { type AwilixContainer, asValue, createContainer, InjectionMode } from "awilix";
import { withCleanup } from "../cleanup.ts";
import type { Call } from "../contract/call.ts";
import type { EngineService } from "../contract/engine.ts";
import type { DriverKind, Drivers, ServiceKind, Services } from "../contract/plugin.ts";
import { fail } from "../errors/index.ts";
import type { ContextParts } from "./context.ts";
import { adoptDirectory, plain } from "./data-directory.ts";
import { ownEngineId } from "./further-drivers.ts";
import { defaultLimit, driverLimits, guard, type PluginLimits } from "./guard.ts";
import type { LoadedPlugin } from "./load.ts";
import type { Agreement } from "./negotiate.ts";
import { type Answer, Offer } from "./offer.ts";
import { nameHere } from "./other-names.ts";
import { makePrivate } from "./private.ts";
import { stamped } from "./stamp.ts";
import { checkVerbs } from "./verbs.ts";

export interface WiringOptions {
  readonly agreement: Agreement;
  readonly plugins: readonly LoadedPlugin[];
  readonly limits: PluginLimits;
  /** Seconds for a verb of a driver, by kind, as the operator set them. */
  readonly deadlines: Readonly<Record<string, number>>;
  /** The service `engine`, which is the host's own. */
  readonly engine: EngineService;
  /** A call of the host's own. */
  call(): Call;
}

type SharedParts = Omit<ContextParts, "container" | "log">;

export class Wiring {
  readonly #options: WiringOptions;
  readonly #container: AwilixContainer;
  readonly #offers = new Map<string, { readonly offer: Offer; readonly plugin: LoadedPlugin }>();
  readonly #opened: { readonly offer: Offer; readonly value: unknown }[] = [];

  constructor(options: WiringOptions) {
    this.#options = options;
    this.#container = createContainer({ injectionMode: InjectionMode.PROXY, strict: true });
    this.#container.register("engine", asValue(options.engine));
  }

  /** `parts` has the engine's directories; each plugin gets its own below them. */
  async setUp(parts: SharedParts): Promise<void> {
    for (const plugin of this.#options.plugins) await this.#setUp(plugin, parts);
  }

  async #setUp(plugin: LoadedPlugin, parts: SharedParts): Promise<void> {
    const { name, handle, manifest, log } = plugin;
    const former = plain(name);
    const isAnothers = this.#options.plugins.some(({ directory }) => directory === former);
    const directoryIn = (base: string): string => {
      if (!isAnothers) adoptDirectory(join(base, former), join(base, plugin.directory), name);
      return join(base, plugin.directory);
    };
    const [rootDirectory, stateDirectory] = [directoryIn(parts.rootDirectory), directoryIn(parts.stateDirectory)];
    const engineId = ownEngineId(parts.engineId, manifest);
    const own = { ...parts, rootDirectory, stateDirectory, engineId, container: this.#container, log };
    const offers = await handle.setup(this.#options.call(), own);
    const missing = Object.keys(manifest.provides).find((offer) => !offers.includes(offer));
    if (missing !== undefined) {
      const error = fail("InvalidArgument", `${name} promises ${missing} in its manifest, but its setup does not provide it`);
      throw stamped(error, name);
    }
    makePrivate(rootDirectory);
    makePrivate(stateDirectory);
    for (const offer of offers) this.#offers.set(offer, { offer: new Offer(offer, name, handle, this.#options.limits.look), plugin });
  }

  async openServices(): Promise<void> {
    const services = [...this.#offers.keys()].filter((offer) => !offer.includes("/"));
    await allOpen(services.map((kind) => this.#openService(kind)));
  }

  service<K extends ServiceKind>(kind: K): Services[K] {
    return this.#container.resolve<Services[K]>(kind);
  }

  async driver<K extends DriverKind>(kind: K, id: string): Promise<Drivers[K]> {
    const entry = this.#offers.get(`${kind}/${id}`);
    if (entry === undefined) {
      const here = nameHere(kind, id);
      const rest = here === null ? "" : `: ${here} stands in its place`;
      throw fail("DriverMissing", `no ${kind} driver is called ${id}${rest}; installed: ${this.ids(kind).join(", ") || "none"}`);
    }
    const { offer, plugin } = entry;
    const driver = await offer.open(
      this.#options.call(),
      () => this.#openNeeds(plugin),
      (value) => {
        checkVerbs(value, offer.name, plugin.name);
        this.#opened.push({ offer, value });
        return guard(value, { offer: offer.name, plugin: plugin.name, limit: this.#limit(kind), grace: this.#options.limits.grace });
      },
    );
    return driver as Drivers[K];
  }

  /** The answer of an offer's probe. `look` does not wait long. */
  async probed(name: string, how: "probe" | "look"): Promise<Answer> {
    const { offer, plugin } = this.#entry(name);
    await this.#openNeeds(plugin);
    return offer[how](this.#options.call());
  }

  offersOf(plugin: LoadedPlugin): readonly Offer[] {
    return [...this.#offers.values()].flatMap((entry) => (entry.plugin === plugin ? entry.offer : []));
  }

  /** The kinds that have a driver. */
  kinds(): readonly string[] {
    return [...new Set([...this.#options.agreement.drivers.keys()].map((offer) => offer.slice(0, offer.indexOf("/"))))];
  }

  /** The ids of the installed drivers of a kind. */
  ids(kind: string): readonly string[] {
    const { drivers } = this.#options.agreement;
    return [...drivers.keys()].flatMap((offer) => (offer.startsWith(`${kind}/`) ? offer.slice(kind.length + 1) : []));
  }

  /** The drivers of a kind that could be the host's default, the best first. Empty: none has a rank, so the kind has no default. */
  ranked(kind: string): readonly string[] {
    const ids = this.ids(kind);
    return ids.some((id) => this.rank(kind, id) > 0) ? [...ids].sort((a, b) => this.rank(kind, b) - this.rank(kind, a)) : [];
  }

  /** 0: the manifest states none. */
  rank(kind: string, id: string): number {
    return this.#entry(`${kind}/${id}`).plugin.manifest.rank[`${kind}/${id}`] ?? 0;
  }

  /**
   * Closes everything in reverse order of the plugins' needs, not of the time of opening: a driver that was opened late is closed after the
   * plugins that need it. An error does not stop it; the first one is thrown at the end.
   */
  async close(): Promise<void> {
    const rank = new Map(this.#options.plugins.map((plugin, index) => [plugin.name, index]));
    const opened = this.#opened.splice(0).sort((a, b) => (rank.get(a.offer.plugin) ?? 0) - (rank.get(b.offer.plugin) ?? 0));
    await withCleanup(async (cleanup) => {
      for (const { offer, value } of opened) cleanup.always(() => offer.close(this.#options.call(), value));
    });
  }

  async #openService(kind: string): Promise<unknown> {
    const { offer, plugin } = this.#entry(kind);
    return offer.open(
      this.#options.call(),
      () => this.#openNeeds(plugin),
      (value) => {
        this.#opened.push({ offer, value });
        const guarded = guard(value, { offer: kind, plugin: plugin.name, limit: Number.POSITIVE_INFINITY, grace: 0 });
        this.#container.register(kind, asValue(guarded));
        return guarded;
      },
    );
  }

  /** Opens the services that a plugin needs. Drivers that it needs are opened when it asks for them. */
  async #openNeeds(plugin: LoadedPlugin): Promise<void> {
    const services = Object.keys(plugin.manifest.needs).filter((kind) => this.#options.agreement.services.has(kind));
    await allOpen(services.map((kind) => this.#openService(kind)));
  }

  /** Milliseconds for one verb of a driver of this kind. */
  #limit(kind: string): number {
    const seconds = this.#options.deadlines[kind];
    return seconds === undefined ? (driverLimits[kind] ?? defaultLimit) : seconds * 1000;
  }

  #entry(name: string): { readonly offer: Offer; readonly plugin: LoadedPlugin } {
    const entry = this.#offers.get(name);
    if (entry === undefined) throw fail("Internal", `${name} was agreed on but is not set up`);
    return entry;
  }
}

/** Waits for all, since what opens late must be known to `close`, and throws the first error. */
async function allOpen(opening: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(opening)) if (result.status === "rejected") throw result.reason;
}
