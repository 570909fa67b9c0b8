/** What an exec rule may touch: a driver, containers that are started as the engine's shim starts them, and what the host shows of them. */
import type { Bundle, Call, ExecDriver, OciSpec } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";

export interface ExecWorld extends BaseWorld {
  readonly driver: ExecDriver;
  readonly call: Call;
  /** A container that was never planned: its directory is empty, its root is an overlay of its own over a busybox. */
  bundle(spec: OciSpec): ExecSubjectBundle;
  /** Plans and starts it, feeds it `input` (nothing: it ends at once), waits, deletes. A start that fails rejects with the format's own code. */
  run(bundle: ExecSubjectBundle, input?: string): Promise<Ended>;
  /** A network namespace that was made before, by path. */
  networkNamespace(): Promise<string>;
  /** Every file of the world but those below `bundle.directory` and the driver's own directories, with size and time. */
  filesOutside(bundle: ExecSubjectBundle): readonly string[];
  /** What the host's mount table and cgroup hierarchies say of this world. */
  onHost(): readonly string[];
}

export interface ExecSubjectBundle extends Bundle {
  /** Where what the container changes in its root lies afterwards. */
  readonly changes: string;
}

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
