/** The engine's services, one contract a file: plugins reach each other through them. */
export type * from "../launcher.ts";
export type * from "./api.ts";
export type * from "./api-files.ts";
export type * from "./api-json.ts";
export type * from "./api-sessions.ts";
export type * from "./api-storage.ts";
export type * from "./containers.ts";
export type * from "./content.ts";
export type * from "./events.ts";
export type * from "./files.ts";
export type * from "./health.ts";
export type * from "./images.ts";
export type * from "./migration.ts";
export type * from "./mounts.ts";
export type * from "./networks.ts";
export type * from "./state.ts";
export type * from "./volumes.ts";
