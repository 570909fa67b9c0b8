/**
 * Hooks observe or veto; the engine's own clean-up is plain code. The host owns the taps, so that a plugin can be disabled while the engine
 * runs. Taps run one after another, in the order in which the plugins were started.
 *
 * - *observe*: a throw is logged with the plugin's name and stops nothing.
 * - *veto*: a throw stops the operation; its error reaches the user.
 * - *answer*: the first answer that is not `undefined` counts; a throw stops the operation.
 * - *change*: each tap gets, and answers, what the one before made of the first subject; a throw stops the operation.
 *
 * Each hook says what is already true when its taps run. docs/hooks.md is held to this file by a test. A plugin that brings a hook of its
 * own merges a line.
 */
import type { ExitStatus, OciProcess, OciSpec } from "./exec.ts";
import type { Descriptor } from "./registry.ts";
import type { ContainerConfig } from "./services/containers.ts";
import type { ContainerId } from "./words.ts";

export interface Hooks {
  /** Kind: observe. Every service is open and sweeps are done; clients are served from now on. A throw is logged. */
  ready: Hook<"observe", []>;
  /**
   * Kind: veto. The reference is parsed; nothing was asked of the registry. A throw ends the pull with that error; nothing is left behind.
   */
  beforePull: Hook<"veto", [ref: string]>;
  /**
   * Kind: answer. Nothing was asked of a registry. The first descriptor stands for the reference; with none, the registry is asked. A throw
   * ends the pull or run.
   */
  resolveImage: Hook<"answer", [ref: string], Descriptor | undefined>;
  /**
   * Kind: veto. The image is present and the request is checked and merged with the image's configuration; neither record nor layer nor
   * volume exists. A throw ends the create; nothing is left behind.
   */
  beforeCreate: Hook<"veto", [config: ContainerConfig, id: ContainerId]>;
  /**
   * Kind: veto. Record and read-write layer exist; shim, namespaces and addresses do not. A throw ends the start; the container stays
   * created.
   */
  beforeStart: Hook<"veto", [id: ContainerId]>;
  /**
   * Kind: change. At each start, after `beforeStart`: the layer and the shim exist, and the spec is what Docker would make of the request;
   * what the last tap answers is planned. A throw ends the start; the container stays created.
   */
  buildSpec: Hook<"change", [spec: OciSpec, id: ContainerId], OciSpec>;
  /** Kind: observe. The first process runs: the point of no return. A throw is logged; the container runs on. */
  started: Hook<"observe", [id: ContainerId]>;
  /** Kind: veto. The container runs; the process does not exist. A throw ends the exec; the container runs on. */
  beforeExec: Hook<"veto", [id: ContainerId, process: OciProcess]>;
  /** Kind: observe. The exit status is on disk and the log is whole; cgroups, network and layer may still be there. A throw is logged. */
  exited: Hook<"observe", [id: ContainerId, status: ExitStatus]>;
  /** Kind: veto. The container does not run; record and layer exist. A throw ends the removal; the container stays. `--rm` does not ask. */
  beforeRemove: Hook<"veto", [id: ContainerId]>;
  /** Kind: observe. The record is gone and the layer out of sight. A throw is logged. */
  removed: Hook<"observe", [id: ContainerId]>;
  /**
   * Kind: observe. No new request is taken; services are still open; containers may run on. A throw is logged; the engine ends all the
   * same.
   */
  shutdown: Hook<"observe", []>;
}

export interface Hook<Kind extends HookKind, Subject extends readonly unknown[], Answer = void> {
  readonly kind: Kind;
  readonly subject: Subject;
  readonly answer: Answer;
}
export type HookKind = "observe" | "veto" | "answer" | "change";
