/**
 * The launcher as the daemon sees it: the native process that accepts local clients, forks shims, and runs helpers, since the daemon must
 * never fork and can't receive descriptors. One socket connects the two (native/launcher defines its frames); this service is that socket
 * as verbs.
 *
 * A *client* is a `tsbox` process on this host that waits for its command to end; its three descriptors stay with the launcher, which
 * passes them to a shim on request. A *shim* is the process that holds one container: its network namespace, its stdio, its log, its first
 * process. It outlives launcher and daemon.
 */
import type { Call } from "./call.ts";
import type { ExecLaunch, ExitStatus, Launch } from "./exec.ts";
import type { Command } from "./host.ts";
import type { IdMaps, Mount } from "./storage.ts";
import type { ContainerId, ExecId, Strings } from "./words.ts";

export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
}

/** Events of local clients. A launcher never uses a `client` number twice. */
export type ClientEvent =
  | ClientOpened
  | { readonly kind: "signal"; readonly client: number; readonly signal: number }
  | { readonly kind: "resized"; readonly client: number; readonly size: WindowSize }
  /** The client needs no more answers: it got its exit code (`answered`), or its connection was closed before. */
  | { readonly kind: "gone"; readonly client: number; readonly answered: boolean };

export interface ClientOpened {
  readonly kind: "opened";
  readonly client: number;
  /** Without the program's name. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  /** Which of descriptors 0, 1, 2 are terminals. */
  readonly terminals: readonly [boolean, boolean, boolean];
  readonly size: WindowSize | null;
  /** `detachKeys` of the user's own docker configuration, as text. Null: there are none, or the command has no terminal. */
  readonly detachKeys: string | null;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** When the launcher read the request: time zero of `run --timings`. */
  readonly at: number;
  /** The word that an earlier daemon bound to this client (`bind`) before it died; null for a new command. */
  readonly boundTo: string | null;
}

/** Where a container's output is logged. `local`: compact and bounded; `json-file`: Docker's format; `none`: no log. */
export interface ShimLog {
  readonly driver: "local" | "json-file" | "none";
  readonly path: string;
  /** Bytes of one file; a full one is rotated. */
  readonly maxBytes: number;
  readonly maxFiles: number;
}

export interface ShimLaunch {
  readonly launch: Launch;
  readonly rootfs: readonly Mount[];
  readonly terminal: WindowSize | null;
  /** Keep the container's stdin open for clients that attach. */
  readonly stdin: boolean;
  /** Close the container's stdin when the first client that wrote to it is done (Docker's StdinOnce). */
  readonly stdinOnce: boolean;
  readonly log: ShimLog;
  /** A client whose descriptors are attached from the first byte on; each flag says whether the descriptor is. */
  readonly client: ShimClient | null;
}

/**
 * A local client and which of its descriptors are attached. `detachKeys`: bytes that a terminal's user types to detach; left out: Docker's,
 * ctrl-P ctrl-Q; empty: no keys. `answer`, for an exec's client: it ends with the exec's exit code after all output, without the daemon,
 * which is notified (`gone`).
 */
export interface ShimClient {
  readonly client: number;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys?: readonly number[] | undefined;
  readonly answer?: boolean | undefined;
}

/**
 * One more process in a running container. A client that has connected to the shim's socket for this id before is joined to it from its
 * first byte on.
 */
export interface ShimExec {
  readonly exec: ExecId;
  readonly launch: ExecLaunch;
  readonly terminal: WindowSize | null;
  /** The process reads from the clients that are joined; otherwise its standard input is empty. */
  readonly stdin: boolean;
  readonly client: ShimClient | null;
  /** The exit event carries up to this many bytes of its output; null: no output. */
  readonly capture: number | null;
}

/**
 * The namespaces that a shim makes before its container: user first, since a network namespace belongs to the user namespace it was made
 * in.
 */
export interface ShimNamespaces {
  /** "none": the container joins another container's network, or the host's. */
  readonly network: "new" | "none";
  /** Null: the host's user namespace. */
  readonly idMaps: IdMaps | null;
}

/** Events that a shim sends by itself. */
export type ShimEvent =
  | { readonly kind: "exited"; readonly id: ContainerId; readonly status: ExitStatus; readonly pid: number }
  /** The container has reached its memory limit, and the kernel kills one of its processes; the container may continue. */
  | { readonly kind: "out-of-memory"; readonly id: ContainerId }
  /** An exec has ended and its output is read. `output`: the first bytes, up to `capture`. */
  | {
      readonly kind: "exec-exited";
      readonly id: ContainerId;
      readonly exec: ExecId;
      readonly status: ExitStatus;
      readonly pid: number;
      readonly output: Uint8Array | null;
    }
  /**
   * The attached client has received all output of the container or of one of its execs; the client may end. Comes after `exited`,
   * `exec-exited`.
   */
  | { readonly kind: "flushed"; readonly id: ContainerId; readonly client: number }
  /**
   * The shim's process has ended and the cgroups are gone, or it was killed (`killed`) and the launcher takes over its container's first
   * process.
   */
  | { readonly kind: "gone"; readonly id: ContainerId; readonly killed: boolean }
  /** The user of an attached client typed the detach keys. */
  | { readonly kind: "detached"; readonly id: ContainerId; readonly client: number };

export interface ShimState {
  readonly shimPid: number;
  /** The path of the network namespace that the shim holds, valid in every process of the host; null: it made none. */
  readonly netns: string | null;
  /** The user namespace that it holds, in the same form. */
  readonly userns: string | null;
  readonly pid: number | null;
  readonly exited: ExitStatus | null;
  /** Execs that have not ended: id and pid. */
  readonly execs: readonly (readonly [ExecId, number])[];
  /** How the latest execs ended, a bounded number of them, whether or not a daemon was notified of it. */
  readonly pastExecs: readonly (readonly [ExecId, ExitStatus])[];
}

export interface Started {
  readonly pid: number;
  readonly warnings: readonly string[];
  /** Milliseconds of each stage. */
  readonly timings: readonly (readonly [string, number])[];
}

export interface LauncherService {
  /** All events of local clients from now on, first those of clients that wait already. One reader. */
  clients(call: Call): Promise<AsyncIterable<ClientEvent>>;
  /** Answers when the client has room for more; a client that is gone accepts everything. */
  write(call: Call, client: number, descriptor: 1 | 2, bytes: Uint8Array): Promise<void>;
  /** Ends the client's command, after it has received all that was written. */
  exit(call: Call, client: number, code: number): Promise<void>;
  /** Makes the client run its command itself (the portable CLI), since the command needs the user's own files. */
  runLocally(call: Call, client: number): Promise<void>;
  /** Sets the client's terminal to raw mode or back; the client restores it by itself when it ends. */
  rawTerminal(call: Call, client: number, raw: boolean): Promise<void>;
  /**
   * Asks the client for its user's logins at these registries; the client looks them up in the user's own files and with the user's
   * credential helpers. Answers AuthConfig's fields (Docker's API) for each registry with a login. `DeadlineExceeded`: the client does not
   * answer.
   */
  logins(call: Call, client: number, registries: readonly string[]): Promise<Readonly<Record<string, Strings>>>;
  /**
   * Stores a word for a client that outlives the daemon (see `ClientOpened.boundTo`). `signalsProxied`: the client's signals go to a
   * container; otherwise SIGHUP, SIGINT and SIGTERM end the client, even if the daemon does not answer.
   */
  bind(call: Call, client: number, word: string, options: { readonly signalsProxied: boolean }): Promise<void>;

  /** Forks a shim. `directory` is the container's own on tmpfs. */
  spawn(call: Call, id: ContainerId, directory: string, namespaces: ShimNamespaces): Promise<ShimState>;
  /** Finds a shim that an earlier launcher forked; `NotFound`: no process listens in `directory`. */
  connect(call: Call, id: ContainerId, directory: string): Promise<ShimState>;
  /** Shims that this launcher is connected to already (after a daemon's death). */
  shims(call: Call): Promise<readonly ContainerId[]>;
  /**
   * Prepares everything for the first process, which waits for `release`: no user code runs before that. Answers when the process runs;
   * otherwise fails with `CommandNotFound`, `NotExecutable` or the error that stopped it, and the shim ends.
   */
  start(call: Call, id: ContainerId, launch: ShimLaunch): Promise<Started>;
  /** Lets a start continue, even if the start has not arrived yet. */
  release(call: Call, id: ContainerId): Promise<void>;
  /** Ends a shim that was spawned and is not going to start anything; a waiting start fails. */
  abandon(call: Call, id: ContainerId): Promise<void>;
  /**
   * Sends a signal to the first process, with `all` to every process. `pid`: the first process by the container's record. With it the
   * launcher signals directly if the shim is dead or does not answer in time, and SIGKILL also kills that shim. `FailedPrecondition`: it
   * does not run. `DeadlineExceeded`: the shim does not answer, and there is no `pid`.
   */
  signal(
    call: Call,
    id: ContainerId,
    signal: number,
    options?: { readonly all?: boolean | undefined; readonly pid?: number | null | undefined },
  ): Promise<void>;
  pause(call: Call, id: ContainerId): Promise<void>;
  resume(call: Call, id: ContainerId): Promise<void>;
  resize(call: Call, id: ContainerId, size: WindowSize): Promise<void>;
  /** Attaches a client's descriptors to a running container. */
  attach(call: Call, id: ContainerId, client: ShimClient): Promise<void>;
  /**
   * Answers when the process runs; otherwise fails as `start` does, and the container continues. `FailedPrecondition`: it is paused, or
   * ends. `Unsupported`: the shim is of a version without execs.
   */
  exec(call: Call, id: ContainerId, exec: ShimExec): Promise<Started>;
  /** Sends a signal to the exec's process and its process group. */
  signalExec(call: Call, id: ContainerId, exec: ExecId, signal: number): Promise<void>;
  resizeExec(call: Call, id: ContainerId, exec: ExecId, size: WindowSize): Promise<void>;
  /** Closes the descriptors of a client that is gone. */
  detach(call: Call, id: ContainerId, client: number): Promise<void>;
  events(call: Call): Promise<AsyncIterable<ShimEvent>>;
  /** The path of the unix socket on which a shim accepts attachments in Docker's framing. */
  attachSocket(call: Call, id: ContainerId): Promise<string>;

  /** Runs a helper program, which is killed when the call is canceled. */
  run(call: Call, command: Command): Promise<{ readonly exitCode: number; readonly stdout: Uint8Array; readonly stderr: Uint8Array }>;
}

declare module "./plugin.ts" {
  interface Services {
    launcher: LauncherService;
  }
}
