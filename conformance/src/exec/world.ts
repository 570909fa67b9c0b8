/** What an exec rule may touch: a driver, containers that are started as the engine's shim starts them, and what the host shows of them. */
import type { Bundle, Call, ExecDriver, OciSpec } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";

export interface ExecWorld extends BaseWorld {
  readonly driver: ExecDriver;
  readonly call: Call;
  /** A container that was never planned: its directory is empty, its root is an overlay of its own over a busybox. */
  bundle(spec: OciSpec): ExecSubjectBundle;
  /**
   * Plans and starts it, feeds it `input` (nothing: it ends at once), waits, deletes. A start that fails rejects with the format's own
   * code.
   */
  run(bundle: ExecSubjectBundle, input?: string): Promise<Ended>;
  /** As `run`, with its streams and signals in hand. It has to be ended by the rule. */
  start(bundle: ExecSubjectBundle, streams?: Streams): Promise<RunningContainer>;
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

export interface Streams {
  /** Closed: whoever starts the container has none. */
  readonly stdin?: "pipe" | "closed";
  /** No reader: what is written meets a broken pipe. Counted: standard output of the end is the number of bytes. */
  readonly stdout?: "pipe" | "no reader" | "counted";
}

export interface RunningContainer {
  /** Answers when its standard output has this text. */
  shows(text: string): Promise<void>;
  write(text: string): void;
  /** To its first process, by the number that it has on the host; for drivers with the power `processes`. */
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
