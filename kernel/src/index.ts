/** The kernel's public entry: contracts, words, errors. Drivers and plugins import it; the host itself is `@tsbox/kernel/host`. */
export { type CallOptions, cleanupCall, createCall, deriveCall, silentLog } from "./call.ts";
export { type Cleanup, suppressing, withCleanup } from "./cleanup.ts";
export type * from "./contract/call.ts";
export type * from "./contract/driver.ts";
export type * from "./contract/engine.ts";
export type * from "./contract/error.ts";
export type * from "./contract/exec.ts";
export type * from "./contract/hooks.ts";
export type * from "./contract/host.ts";
export type * from "./contract/log.ts";
export type * from "./contract/network.ts";
export type * from "./contract/oci-resources.ts";
export type * from "./contract/plugin.ts";
export type * from "./contract/registry.ts";
export type * from "./contract/services/index.ts";
export type * from "./contract/storage.ts";
export { contractVersions, driverKinds } from "./contract/versions.ts";
export type * from "./contract/volume.ts";
export type * from "./contract/words.ts";
export { copyChanges } from "./copy-changes.ts";
export { defaultDetachKeys, detachKeys } from "./detach-keys.ts";
export { DetachWatch } from "./detach-watch.ts";
export { ago } from "./duration.ts";
export {
  abortReason,
  asError,
  type ErrorMeaning,
  errorCodes,
  errorTable,
  exhaustion,
  fail,
  isTsboxError,
  systemCode,
  TsboxError,
} from "./errors/index.ts";
export { fileTail } from "./file-tail.ts";
export { type HeldPorts, holdPorts, releasePorts } from "./host-ports.ts";
export { parseJson } from "./json.ts";
export { limits } from "./limits.ts";
export { logAttributes } from "./log-attributes.ts";
export { withMounts } from "./mounts.ts";
export { fits } from "./patterns.ts";
export { plain, plainCell } from "./plain.ts";
export { reports } from "./reports.ts";
export { noSettings, settingsOf } from "./settings.ts";
export { signalNumber } from "./signals.ts";
export { SinkStream, type SinkStreamOptions } from "./sink-stream.ts";
export { snapshotExists } from "./snapshot-exists.ts";
export { judgeFields, linuxFields, type SpecFields } from "./spec-fields.ts";
export { mountsBefore, ownersOf } from "./spec-launch.ts";
export { supports } from "./supports.ts";
export { connectUnix, shortSocketPath } from "./unix-socket.ts";
export { engineVersion } from "./version.ts";
export * from "./words.ts";
