/**
 * Makes a plugin's context and the awilix scope behind it: services resolve from the host's container, the plugin's own values from its
 * scope.
 */
import { join } from "node:path";
import { type AwilixContainer, asValue } from "awilix";
import { type CallOptions, createCall } from "../call.ts";
import type { Call, Logger } from "../contract/call.ts";
import type { DriverKind, Drivers, PluginContext, Probe, ServiceKind, Services } from "../contract/plugin.ts";
import { fail } from "../errors/index.ts";
import type { HookRegistry } from "../hooks.ts";
import { type LoadedPlugin, Offer, type OfferLimits } from "./plugin-state.ts";
import { makePrivate } from "./private.ts";

export interface ContextParts {
  readonly plugin: LoadedPlugin;
  readonly config: unknown;
  readonly container: AwilixContainer;
  readonly hooks: HookRegistry;
  readonly rootDirectory: string;
  readonly stateDirectory: string;
  readonly engineId: string;
  readonly signal: AbortSignal;
  readonly limits: OfferLimits;
  preferred(kind: DriverKind): Promise<string | null>;
  driver<K extends DriverKind>(kind: K, id: string): Promise<Drivers[K]>;
  drivers(kind: DriverKind): Promise<readonly ({ readonly id: string } & Probe)[]>;
}

/** `seal` ends the time in which the plugin may register. */
export function makeContext(parts: ContextParts): { readonly context: PluginContext; seal(): void } {
  const { plugin, hooks } = parts;
  const directory = plugin.name.replace(/^@tsbox\//, "").replaceAll("/", "+");
  const scope = parts.container.createScope().register({
    config: asValue(parts.config),
    log: asValue(plugin.log),
    rootDirectory: asValue(join(parts.rootDirectory, directory)),
    stateDirectory: asValue(join(parts.stateDirectory, directory)),
    engineId: asValue(parts.engineId),
  });
  let registering = true;
  const provide = (offer: string, provider: ConstructorParameters<typeof Offer>[2]): void => {
    if (!registering) throw fail("FailedPrecondition", `${plugin.name} provides ${offer} after its setup: register everything in setup`);
    if (!(offer in plugin.manifest.provides))
      throw fail("InvalidArgument", `${plugin.name} provides ${offer}, which is not in its manifest: add it to "provides"`);
    if (plugin.offers.has(offer)) throw fail("AlreadyExists", `${plugin.name} provides ${offer} twice`);
    plugin.offers.set(offer, new Offer(offer, plugin.name, provider, parts.limits));
  };
  const needed = (kind: string): void => {
    if (registering)
      throw fail("FailedPrecondition", `${plugin.name} asks for ${kind} in its setup: services and drivers are there from open on`);
    if (!(kind in plugin.manifest.needs))
      throw fail("PermissionDenied", `${plugin.name} asks for ${kind}, which is not in its manifest: add it to "needs"`);
  };
  const context: PluginContext = {
    config: parts.config,
    log: scope.resolve<Logger>("log"),
    rootDirectory: scope.resolve<string>("rootDirectory"),
    stateDirectory: scope.resolve<string>("stateDirectory"),
    engineId: parts.engineId,
    provideDriver: (kind, id, provider) => provide(`${kind}/${id}`, provider),
    provideService: (kind, provider) => provide(kind, provider),
    provideHook: (name, kind) => hooks.provide(plugin.name, name, kind),
    tap: (name, handler) => hooks.tap(plugin.name, name, handler),
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
    drivers: async (kind) => {
      needed(kind);
      return parts.drivers(kind);
    },
    call: (options?: CallOptions): Call => {
      const asked = options?.signal;
      return createCall(plugin.log, {
        timeout: options?.timeout,
        signal: asked === undefined ? parts.signal : AbortSignal.any([asked, parts.signal]),
      });
    },
  };
  return {
    context,
    seal: () => {
      registering = false;
      makePrivate(context.rootDirectory);
      makePrivate(context.stateDirectory);
    },
  };
}
