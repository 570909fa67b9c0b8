/** `@tsbox/conformance`: one suite for each driver contract, shared by all drivers, in the tree or not. */
export { type ConformanceSubject, runConformance } from "./conformance.ts";
export { execRules, execSubject, execSuite } from "./exec/index.ts";
export { type ExecSubject, makeExecWorld } from "./exec/real-world.ts";
export type { ExecWorld } from "./exec/world.ts";
export { type OpenedPart, openDriver, openService } from "./plugin-subject.ts";
export { count, toJson, toJunit, toTap } from "./report.ts";
export { type BaseWorld, Broken, expect, expectCode, type Rule, skipReason } from "./rule.ts";
export { type Outcome, type Report, registerRules, runRules, type TestRunner } from "./run.ts";
export { storageRules, storageSubject, storageSuite } from "./storage/index.ts";
export { makeRealWorld, type StorageSubject } from "./storage/real-world.ts";
export type { Edit, Tree, TreeNode } from "./storage/tree.ts";
export type { StorageWorld } from "./storage/world.ts";
export { openToolkit, type Toolkit } from "./toolkit.ts";
export { volumeRules, volumeSubject, volumeSuite } from "./volume/index.ts";
export { makeVolumeWorld, type VolumeSubject } from "./volume/real-world.ts";
export type { VolumeWorld } from "./volume/world.ts";
