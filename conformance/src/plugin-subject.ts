/** Opens one service or driver of a plugin without an engine: a minimal host for a driver's own tests. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  type Call,
  createCall,
  type DriverKind,
  type Drivers,
  fail,
  type Plugin,
  type PluginContext,
  type Probe,
  type Provider,
  type Services,
  silentLog,
} from "@tsbox/kernel";

export interface OpenedPart<T> {
  readonly value: T;
  close(): Promise<void>;
}

/** The engine's id in suites: it is in the name of whatever a driver makes on the host. */
export const conformanceEngine = "c0f0ace1";

type AnyProvider = Provider<Drivers[DriverKind]> | Provider<Services[keyof Services]>;

/**
 * `services`: the services that the plugin may ask for. `config` is parsed by the plugin. A driver that is not usable here is `Unsupported`
 * with the probe's reason.
 */
export async function openDriver<K extends DriverKind>(
  plugin: Plugin,
  kind: K,
  id: string,
  options: { readonly directory: string; readonly services: Partial<Services>; readonly config?: unknown },
): Promise<OpenedPart<Drivers[K]>> {
  return open(plugin, `${kind}/${id}`, options);
}

export async function openService<K extends keyof Services>(
  plugin: Plugin,
  kind: K,
  options: { readonly directory: string; readonly services: Partial<Services>; readonly config?: unknown },
): Promise<OpenedPart<Services[K]>> {
  return open(plugin, kind, options);
}

async function open<T>(
  plugin: Plugin,
  offer: string,
  { directory, services, config }: { readonly directory: string; readonly services: Partial<Services>; readonly config?: unknown },
): Promise<OpenedPart<T>> {
  const providers = new Map<string, AnyProvider>();
  const absent = (what: string): Error => fail("Unsupported", `${what} is not there when a plugin is opened by itself`);
  const context: PluginContext = {
    config: plugin.parseConfig(config),
    log: silentLog,
    rootDirectory: join(directory, "root"),
    stateDirectory: join(directory, "state"),
    engineId: conformanceEngine,
    provideDriver: (kind, id, provider) => void providers.set(`${kind}/${id}`, provider),
    provideService: (kind, provider) => void providers.set(kind, provider),
    provideHook: () => () => Promise.reject(absent("a hook")),
    tap: () => undefined,
    service: async (kind) => {
      const service = services[kind];
      if (service === undefined) throw absent(`service ${kind}`);
      return service;
    },
    driver: async (kind, id) => {
      throw absent(`driver ${kind}/${id}`);
    },
    preferred: async () => null,
    installed: async () => [],
    drivers: async () => [],
    call: (given) => createCall(silentLog, given),
  };
  for (const path of [context.rootDirectory, context.stateDirectory]) mkdirSync(path, { recursive: true });
  plugin.setup(context);
  const provider = providers.get(offer) as Provider<T> | undefined;
  if (provider === undefined)
    throw fail("NotFound", `the plugin does not provide ${offer}; it provides ${[...providers.keys()].join(", ")}`);
  const call: Call = createCall(silentLog);
  const probe: Probe = (await provider.probe?.(call)) ?? { usable: true };
  if (!probe.usable)
    throw fail("Unsupported", `${offer} can't be used here: ${probe.reason}${probe.hint === null ? "" : `; ${probe.hint}`}`);
  const value = await provider.open(call);
  return { value, close: async () => provider.close?.(call, value) };
}
