export { type BtrfsDisk, mountBtrfs, whyNoBtrfs } from "./btrfs-disk.ts";
export { assertNothingLeft, type HostSnapshot, hostSnapshot, networkLinks } from "./leaks.ts";
export { type Body, type Case, type Suite, type SuiteOptions, suite } from "./suite.ts";
export { isFullRun, needsRoot, temporaryDirectory } from "./world.ts";
