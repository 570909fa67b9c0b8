/** `@tsbox/kernel/host`: the daemon starts an engine with it. Plugins and drivers import `@tsbox/kernel` instead. */
export { type EngineConfig, emptyConfig, furtherKinds, type PluginEntry, parseConfig, readConfig, readEngineList } from "./config.ts";
export { type GuardOptions, guard } from "./guard.ts";
export type { Host, HostOptions } from "./host.ts";
export { importPlugin } from "./import-plugin.ts";
export { type LoadedManifest, parseManifest, readManifest } from "./manifest.ts";
export { pluginList } from "./plugin-list.ts";
export { startHost } from "./start.ts";
