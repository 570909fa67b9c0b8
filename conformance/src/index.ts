/** `@tsbox/conformance`: one suite for each driver contract, shared by all drivers, in the tree or not. */
export { execRules } from "./exec/index.ts";
export { type ExecSubject, makeExecWorld } from "./exec/real-world.ts";
export type { ExecWorld } from "./exec/world.ts";
export type { Measurement } from "./measure.ts";
export { type OpenedPart, openDriver, openService } from "./plugin-subject.ts";
export { count, toJson, toJunit, toTap } from "./report.ts";
export { type BaseWorld, Broken, expect, expectCode, placeOf, type Rule, skipReason } from "./rule.ts";
export { type Outcome, type Report, type RuleName, registerRules, runRules, type TestRunner } from "./run.ts";
export { storageRules } from "./storage/index.ts";
export { makeRealWorld, type StorageSubject } from "./storage/real-world.ts";
export type { Edit, Tree, TreeNode } from "./storage/tree.ts";
export type { StorageWorld } from "./storage/world.ts";
export { type Suite, suite } from "./suite.ts";
export type { Target } from "./target.ts";
export { openToolkit, type Toolkit } from "./toolkit.ts";
export { volumeRules } from "./volume/index.ts";
export { makeVolumeWorld, type VolumeSubject } from "./volume/real-world.ts";
export type { VolumeWorld } from "./volume/world.ts";
