/**
 * Makes a plugin's context and the awilix scope behind it: services resolve from the host's container, the plugin's own values from its
 * scope.
 */
import { type AwilixContainer, asValue } from "awilix";
import { type CallOptions, createCall } from "../call.ts";
import type { Call, Logger } from "../contract/call.ts";
import type { DriverKind, Drivers, PluginContext, Probe, Provider, ServiceKind, Services } from "../contract/plugin.ts";
import { fail } from "../errors/index.ts";
import type { HookRegistry } from "../hooks.ts";
import { offerName } from "./further-drivers.ts";
import type { LoadedManifest } from "./manifest.ts";

/** What the host hands to a plugin. */
export interface ContextParts {
  readonly log: Logger;
  /** Holds the services that are open. */
  readonly container: AwilixContainer;
  readonly hooks: HookRegistry;
  /** The plugin's own directories. */
  readonly rootDirectory: string;
  readonly stateDirectory: string;
  readonly engineId: string;
  /** Aborts when the engine stops. */
  readonly signal: AbortSignal;
  preferred(kind: DriverKind): Promise<string | null>;
  driver<K extends DriverKind>(kind: K, id: string): Promise<Drivers[K]>;
  installed(kind: DriverKind): readonly string[];
  drivers(kind: DriverKind): Promise<readonly ({ readonly id: string } & Probe)[]>;
}

/** What the plugin registers goes into `providers`. `seal` ends the time in which it may. */
export function makeContext(
  parts: ContextParts,
  manifest: LoadedManifest,
  providers: Map<string, Provider<unknown>>,
  config: unknown,
): { readonly context: PluginContext; seal(): void } {
  const { hooks, log } = parts;
  const { name } = manifest.entry;
  const scope = parts.container.createScope().register({
    config: asValue(config),
    log: asValue(log),
    rootDirectory: asValue(parts.rootDirectory),
    stateDirectory: asValue(parts.stateDirectory),
    engineId: asValue(parts.engineId),
  });
  let registering = true;
  const provide = (given: string, provider: Provider<unknown>): void => {
    if (!registering) throw fail("FailedPrecondition", `${name} provides ${given} after its setup: register everything in setup`);
    const offer = offerName(manifest, given);
    if (offer === null) return;
    if (!(offer in manifest.provides))
      throw fail("InvalidArgument", `${name} provides ${offer}, which is not in its manifest: add it to "provides"`);
    if (providers.has(offer)) throw fail("AlreadyExists", `${name} provides ${offer} twice`);
    providers.set(offer, provider);
  };
  const needed = (kind: string): void => {
    if (registering) throw fail("FailedPrecondition", `${name} asks for ${kind} in its setup: services and drivers are there from open on`);
    if (!(kind in manifest.needs))
      throw fail("PermissionDenied", `${name} asks for ${kind}, which is not in its manifest: add it to "needs"`);
  };
  const context: PluginContext = {
    config,
    log: scope.resolve<Logger>("log"),
    rootDirectory: scope.resolve<string>("rootDirectory"),
    stateDirectory: scope.resolve<string>("stateDirectory"),
    engineId: parts.engineId,
    provideDriver: (kind, id, provider) => provide(`${kind}/${id}`, provider),
    provideService: (kind, provider) => provide(kind, provider),
    provideHook: (hook, kind) => hooks.provide(name, hook, kind),
    tap: (hook, handler) => hooks.tap(name, hook, handler),
    service: async <K extends ServiceKind>(kind: K): Promise<Services[K]> => {
      needed(kind);
      return scope.resolve<Services[K]>(kind);
    },
    driver: async (kind, id) => {
      needed(kind);
      return parts.driver(kind, id);
    },
    preferred: async (kind) => {
      needed(kind);
      return parts.preferred(kind);
    },
    installed: async (kind) => {
      needed(kind);
      return parts.installed(kind);
    },
    drivers: async (kind) => {
      needed(kind);
      return parts.drivers(kind);
    },
    call: (options?: CallOptions): Call => {
      const asked = options?.signal;
      return createCall(log, {
        timeout: options?.timeout,
        signal: asked === undefined ? parts.signal : AbortSignal.any([asked, parts.signal]),
      });
    },
  };
  return {
    context,
    seal: () => {
      registering = false;
    },
  };
}
