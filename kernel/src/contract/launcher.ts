/**
 * The launcher as the daemon sees it: the native process that accepts local clients, forks shims, and runs helpers, since the daemon must
 * never fork and can't receive descriptors. One socket joins the two (native/launcher draws its frames); this service is that socket in
 * words.
 *
 * A *client* is a `tsbox` on this host that waits for its command to end; its three descriptors stay with the launcher, which passes them
 * to a shim when asked. A *shim* is the process that holds one container: its network namespace, its stdio, its log, its first process. It
 * outlives launcher and daemon.
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

/** What local clients do. A `client` number is never used twice by one launcher. */
export type ClientEvent =
  | ClientOpened
  | { readonly kind: "signal"; readonly client: number; readonly signal: number }
  | { readonly kind: "resized"; readonly client: number; readonly size: WindowSize }
  /** Its command needs nobody any more: it had its exit code (`answered`), or the connection was closed before. */
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
  /** `detachKeys` of the user's own docker configuration, in its words; null: none, or no command at a terminal. */
  readonly detachKeys: string | null;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** When the launcher read the request: the zero of `run --timings`. */
  readonly at: number;
  /** What `bind` had bound it to before an earlier daemon died; null for a new command. */
  readonly boundTo: string | null;
}

/** Where a container's output goes besides those who are attached. `local`: compact and bounded; `json-file`: Docker's; `none`. */
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
  /** Keep the container's stdin open for those who attach. */
  readonly stdin: boolean;
  /** Close the container's stdin when the first who wrote to it is done (Docker's StdinOnce). */
  readonly stdinOnce: boolean;
  readonly log: ShimLog;
  /** A client whose descriptors are attached from the first byte on; each flag says whether that descriptor is. */
  readonly client: ShimClient | null;
}

/**
 * A local client and which of its descriptors are meant. `detachKeys`: bytes that a terminal's user types to leave; left out: Docker's,
 * ctrl-P ctrl-Q; empty: none. `answer`, of an exec's client: it ends with the exec's exit code when it has all output, without a word of
 * the daemon, which is told (`gone`).
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
 * One more process in a running container. Whoever connects to the shim's socket for this id before is joined to it from its first byte on.
 */
export interface ShimExec {
  readonly exec: ExecId;
  readonly launch: ExecLaunch;
  readonly terminal: WindowSize | null;
  /** It reads from those who are joined; else its standard input is empty. */
  readonly stdin: boolean;
  readonly client: ShimClient | null;
  /** So many bytes of its output are told with its end; null: none. */
  readonly capture: number | null;
}

/** What a shim makes before its container: user first, since a network namespace belongs to the user namespace that it was made in. */
export interface ShimNamespaces {
  /** "none": the container joins another's, or the host's. */
  readonly network: "new" | "none";
  /** Null: the host's user namespace. */
  readonly idMaps: IdMaps | null;
}

/** What a shim tells without being asked. */
export type ShimEvent =
  | { readonly kind: "exited"; readonly id: ContainerId; readonly status: ExitStatus; readonly pid: number }
  /** The container has met its memory limit, and the kernel kills one of its processes, which need not be its end. */
  | { readonly kind: "out-of-memory"; readonly id: ContainerId }
  /** An exec has ended and its output is read. `output`: as much as was asked for. */
  | {
      readonly kind: "exec-exited";
      readonly id: ContainerId;
      readonly exec: ExecId;
      readonly status: ExitStatus;
      readonly pid: number;
      readonly output: Uint8Array | null;
    }
  /**
   * All that was written is with the client that is attached to the container or one of its execs; the client may end. Comes after
   * `exited`, `exec-exited`.
   */
  | { readonly kind: "flushed"; readonly id: ContainerId; readonly client: number }
  /**
   * The shim's process has ended and the cgroups are gone, or it was killed (`killed`) and its container's first process falls to the
   * launcher.
   */
  | { readonly kind: "gone"; readonly id: ContainerId; readonly killed: boolean }
  /** The user of an attached client typed the detach keys. */
  | { readonly kind: "detached"; readonly id: ContainerId; readonly client: number };

export interface ShimState {
  readonly shimPid: number;
  /** The network namespace that the shim holds, as a path that holds in every process of the host; null when it made none. */
  readonly netns: string | null;
  /** The user namespace that it holds, likewise. */
  readonly userns: string | null;
  readonly pid: number | null;
  readonly exited: ExitStatus | null;
  /** Execs that have not ended: id and pid. */
  readonly execs: readonly (readonly [ExecId, number])[];
  /** How the last ones ended, a bounded number of them, whether a daemon has heard of it or not. */
  readonly pastExecs: readonly (readonly [ExecId, ExitStatus])[];
}

export interface Started {
  readonly pid: number;
  readonly warnings: readonly string[];
  /** Milliseconds of each stage. */
  readonly timings: readonly (readonly [string, number])[];
}

export interface LauncherService {
  /** Everything that local clients do from now on, those who wait already first. One reader. */
  clients(call: Call): Promise<AsyncIterable<ClientEvent>>;
  /** Answers when the client has taken enough for more to be welcome; a client that is gone takes everything. */
  write(call: Call, client: number, descriptor: 1 | 2, bytes: Uint8Array): Promise<void>;
  /** Ends the client's command: all that was written reaches it first. */
  exit(call: Call, client: number, code: number): Promise<void>;
  /** Has the client run its command itself (the portable CLI), since it needs the user's own files. */
  runLocally(call: Call, client: number): Promise<void>;
  /** Puts the client's terminal into raw mode or back; the client puts it back by itself when it ends. */
  rawTerminal(call: Call, client: number, raw: boolean): Promise<void>;
  /**
   * Asks the client for its user's logins at these registries, which it looks up in the user's own files and with the user's credential
   * helpers; answers AuthConfig's fields (Docker's API) for each registry that has one. `DeadlineExceeded`: the client does not answer.
   */
  logins(call: Call, client: number, registries: readonly string[]): Promise<Readonly<Record<string, Strings>>>;
  /**
   * Remembers a word for a client over the daemon's death (see `ClientOpened.boundTo`). `signalsProxied`: its signals are a container's;
   * else SIGHUP, SIGINT and SIGTERM end it, even when the daemon does not answer.
   */
  bind(call: Call, client: number, word: string, options: { readonly signalsProxied: boolean }): Promise<void>;

  /** Forks a shim. `directory` is the container's own on tmpfs. */
  spawn(call: Call, id: ContainerId, directory: string, namespaces: ShimNamespaces): Promise<ShimState>;
  /** Finds a shim again that an earlier launcher forked; `NotFound` when nobody listens in `directory`. */
  connect(call: Call, id: ContainerId, directory: string): Promise<ShimState>;
  /** Shims that this launcher is connected to already (after a daemon's death). */
  shims(call: Call): Promise<readonly ContainerId[]>;
  /**
   * Makes everything ready for the first process, which waits for `release`: nothing of the user's runs before that. Answers when it runs;
   * else fails with `CommandNotFound`, `NotExecutable` or what stopped it, and the shim ends.
   */
  start(call: Call, id: ContainerId, launch: ShimLaunch): Promise<Started>;
  /** Lets a start go on, which may be on its way yet. */
  release(call: Call, id: ContainerId): Promise<void>;
  /** Ends a shim that was spawned and shall start nothing; a start that waits fails. */
  abandon(call: Call, id: ContainerId): Promise<void>;
  /**
   * To the first process, with `all` to every process. `pid`: the first process by the container's record; with it the launcher signals
   * past a shim that is dead or has not answered in time, and SIGKILL takes that shim along. `FailedPrecondition`: it does not run.
   * `DeadlineExceeded`: the shim is silent, and there is no `pid`.
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
  /** Joins a client's descriptors to a running container. */
  attach(call: Call, id: ContainerId, client: ShimClient): Promise<void>;
  /**
   * Answers when the process runs; else fails as `start` does, and the container runs on. `FailedPrecondition`: it is paused, or ends.
   * `Unsupported`: a shim from before execs.
   */
  exec(call: Call, id: ContainerId, exec: ShimExec): Promise<Started>;
  /** To the exec's process and its process group. */
  signalExec(call: Call, id: ContainerId, exec: ExecId, signal: number): Promise<void>;
  resizeExec(call: Call, id: ContainerId, exec: ExecId, size: WindowSize): Promise<void>;
  /** Lets go of the descriptors of a client that is gone. */
  detach(call: Call, id: ContainerId, client: number): Promise<void>;
  events(call: Call): Promise<AsyncIterable<ShimEvent>>;
  /** The path of the unix socket on which a shim takes attachments in Docker's framing. */
  attachSocket(call: Call, id: ContainerId): Promise<string>;

  /** Runs a helper program; killed when the call is canceled. */
  run(call: Call, command: Command): Promise<{ readonly exitCode: number; readonly stdout: Uint8Array; readonly stderr: Uint8Array }>;
}

declare module "./plugin.ts" {
  interface Services {
    launcher: LauncherService;
  }
}
