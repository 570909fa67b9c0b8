/** The contracts of the engine's services: one interface a service, each merging its line into `Services` (plugin.ts). */
export type * from "../launcher.ts";
