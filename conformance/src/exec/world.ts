/**
 * The parts of an exec rule's world: a driver, containers that are started as the engine's shim starts them, and the host's view of them.
 */
import type { Bundle, Call, ExecDriver, OciSpec } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";

export interface ExecWorld extends BaseWorld {
  readonly driver: ExecDriver;
  readonly call: Call;
  /** A container that was never planned: its directory is empty, and its root is its own overlay over a busybox. */
  bundle(spec: OciSpec): ExecSubjectBundle;
  /**
   * Plans and starts it, writes `input` to it (by default nothing: its input ends at once), waits for its end, deletes it. A failed start
   * rejects with the format's error code.
   */
  run(bundle: ExecSubjectBundle, input?: string): Promise<Ended>;
  /** Like `run`, with access to the streams and signals. The rule has to end the container. */
  start(bundle: ExecSubjectBundle, streams?: Streams): Promise<RunningContainer>;
  /** The path of a network namespace that was made before. */
  networkNamespace(): Promise<string>;
  /** Every file of the world with size and time, except those below `bundle.directory` and the driver's own directories. */
  filesOutside(bundle: ExecSubjectBundle): readonly string[];
  /** The entries of this world in the host's mount table and cgroup hierarchies. */
  onHost(): readonly string[];
}

export interface ExecSubjectBundle extends Bundle {
  /** The directory with the container's changes to its root after its end. */
  readonly changes: string;
}

export interface Streams {
  /** Closed: the starter of the container has no standard input. */
  readonly stdin?: "pipe" | "closed";
  /** No reader: writes meet a broken pipe. Counted: the outcome's standard output is the number of bytes. */
  readonly stdout?: "pipe" | "no reader" | "counted";
}

export interface RunningContainer {
  /** Resolves when its standard output contains this text. */
  shows(text: string): Promise<void>;
  write(text: string): void;
  /** Sends a signal to its first process by the host's pid; for drivers with the power `processes`. */
  signal(name: NodeJS.Signals): void;
  /**
   * Runs a command in the container, without streams, and answers its exit code. `Unsupported` for a format whose containers the engine's
   * own runtime does not start.
   */
  exec(...words: readonly string[]): Promise<number>;
  /**
   * Kibibytes of its processes, and of those of its format beside it; shared pages count by their share. What stands in for the engine's
   * shim here does not count.
   */
  memory(): number;
  readonly ended: Promise<Ended>;
}

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
