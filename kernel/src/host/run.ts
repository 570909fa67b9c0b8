/** The engine while it runs: its start with all hooks, the choice of drivers, calls, and its end. */
import { createCall } from "../call.ts";
import { withCleanup } from "../cleanup.ts";
import type { Call } from "../contract/call.ts";
import type { DriverSelection } from "../contract/engine.ts";
import type { DriverKind, Drivers, Probe, ServiceKind, Services } from "../contract/plugin.ts";
import { fail } from "../errors/index.ts";
import { HookRegistry } from "../hooks.ts";
import type { Choices } from "./choice.ts";
import { hookLimit, type PluginLimits } from "./guard.ts";
import type { Host, HostOptions } from "./host.ts";
import type { LoadedPlugin } from "./load.ts";
import type { Agreement } from "./negotiate.ts";
import type { Answer } from "./offer.ts";
import { selection } from "./selection.ts";
import { pluginStatus } from "./status.ts";
import { Wiring } from "./wire.ts";

export interface HostParts {
  readonly agreement: Agreement;
  /** Each plugin comes after all plugins that it needs. */
  readonly plugins: readonly LoadedPlugin[];
  readonly choices: Choices;
  readonly limits: PluginLimits;
}

export class RunningHost implements Host {
  readonly hooks: HookRegistry;
  readonly #options: HostOptions;
  readonly #plugins: readonly LoadedPlugin[];
  readonly #choices: Choices;
  readonly #wiring: Wiring;
  readonly #stopping = new AbortController();
  readonly #callHook: { readonly ready: (call: Call) => Promise<void>; readonly shutdown: (call: Call) => Promise<void> };
  #stopped: Promise<void> | undefined;

  constructor(options: HostOptions, { agreement, plugins, choices, limits }: HostParts) {
    this.#options = options;
    this.#plugins = plugins;
    this.#choices = choices;
    const { deadlines } = options.config;
    const limit = deadlines.hook === undefined ? hookLimit : deadlines.hook * 1000;
    this.hooks = new HookRegistry(options.log, { limit, grace: limits.grace });
    this.#callHook = {
      ready: this.hooks.provide("kernel", "ready", "observe"),
      shutdown: this.hooks.provide("kernel", "shutdown", "observe"),
    };
    const engine = {
      plugins: (call: Call) => Promise.all(plugins.map((plugin) => pluginStatus(plugin, this.#wiring.offersOf(plugin), call))),
      choices: async () => choices.made,
      prefer: async (_call: Call, kind: string, id: string) => {
        if (!this.#wiring.ids(kind).includes(id)) throw fail("DriverMissing", `no ${kind} driver is called ${id}`);
        await choices.prefer(kind, id);
      },
      selections: () => Promise.all(this.#wiring.kinds().map((kind) => this.#selection(kind))),
    };
    this.#wiring = new Wiring({ agreement, plugins, limits, deadlines, engine, call: () => this.call() });
  }

  async start(): Promise<void> {
    const { rootDirectory, stateDirectory, engineId } = this.#options;
    await this.#wiring.setUp({
      hooks: this.hooks,
      rootDirectory,
      stateDirectory,
      engineId,
      signal: this.#stopping.signal,
      driver: (kind, id) => this.driver(kind, id),
      preferred: (kind) => this.preferred(kind),
      installed: (kind) => this.#wiring.ids(kind),
      drivers: (kind) => this.drivers(kind),
    });
    this.hooks.seal();
    await this.#wiring.openServices();
    await this.#refuseUnusable();
    await this.#choices.settle();
    await this.#callHook.ready(this.call());
  }

  /** A driver that the operator names must work: without it, each of its users would fail. */
  async #refuseUnusable(): Promise<void> {
    for (const [kind, id] of Object.entries(this.#options.config.drivers)) {
      const probe = await this.#wiring.probed(`${kind}/${id}`, "probe");
      if (!probe.usable)
        throw fail("Unsupported", `the config file names the ${kind} driver ${id}, which can't be used here: ${probe.reason}`);
    }
  }

  service<K extends ServiceKind>(kind: K): Services[K] {
    return this.#wiring.service(kind);
  }

  driver<K extends DriverKind>(kind: K, id: string): Promise<Drivers[K]> {
    return this.#wiring.driver(kind, id);
  }

  async preferred(kind: DriverKind): Promise<string | null> {
    const choice = await this.#choices.choose(
      kind,
      () => this.#wiring.ranked(kind),
      (id) => this.#wiring.probed(`${kind}/${id}`, "probe"),
    );
    return choice?.id ?? this.#wiring.ids(kind)[0] ?? null;
  }

  /** Waits for no probe longer than a list does. */
  async #selection(kind: string): Promise<DriverSelection> {
    const look = (id: string): Promise<Answer> => this.#wiring.probed(`${kind}/${id}`, "look");
    const installed = await Promise.all(
      this.#wiring.ids(kind).map(async (id) => ({ id, rank: this.#wiring.rank(kind, id), probe: await look(id) })),
    );
    return selection(kind, installed, () => this.#choices.foresee(kind, () => this.#wiring.ranked(kind), look));
  }

  async drivers(kind: DriverKind): Promise<readonly ({ readonly id: string } & Probe)[]> {
    const chosen = await this.preferred(kind);
    const all = await Promise.all(
      this.#wiring.ids(kind).map(async (id) => {
        const { unsure: _, ...probe } = await this.#wiring.probed(`${kind}/${id}`, "look");
        return { id, ...probe };
      }),
    );
    return all.sort((a, b) => Number(b.id === chosen) - Number(a.id === chosen));
  }

  call(options: { readonly signal?: AbortSignal; readonly timeout?: number } = {}): Call {
    return createCall(this.#options.log, options);
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

  /** Without the hook `shutdown`: for a start that failed. */
  async close(): Promise<void> {
    this.#stopping.abort(fail("Canceled", "the engine is stopping"));
    await this.#wiring.close();
  }
}
