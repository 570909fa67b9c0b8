/**
 * An engine for one test case: its root, its state on tmpfs, its sockets, independent of everything else on the host. It ends with the
 * case, and nothing of it is left.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { basename, dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { assertNothingLeft, type Case, hostSnapshot } from "@tsbox/harness";

export const home: string = join(import.meta.dirname, "..", "..", "..");
export const binary: string = join(home, "build", "bin", "tsbox");

/** This machine as an image; `TSBOX_TEST_MACHINE` names a smaller root, for storage drivers that copy it. */
export const machine: string = process.env.TSBOX_TEST_MACHINE ?? "host:/";

/**
 * V8's compiled code of the engine's sources, shared by the engines of all cases. By default an engine stores it in its root, which is new
 * in each case; a start then takes three times as long.
 */
const compileCache = join(home, ".cache", "node");

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  readonly environment?: Readonly<Record<string, string>>;
  /** Milliseconds after which the client is killed and the case fails. */
  readonly timeout?: number;
}

export class Engine {
  readonly root: string;
  readonly state: string;
  readonly socket: string;
  readonly #config: string | null;
  readonly #wrapper: readonly string[];
  #launcher: ChildProcess | undefined;
  #log = "";
  /** The number of the launcher's descriptors after its start. */
  #descriptors = 0;

  /** `wrapper`: a command that starts the engine in another environment. */
  constructor(directory: string, config: string | null, wrapper: readonly string[] = [], socket?: string, state?: string) {
    this.root = join(directory, "root");
    this.state = state ?? mkdtempSync("/run/tsbox-test-");
    this.socket = socket ?? join(this.state, "tsbox.sock");
    this.#config = config;
    this.#wrapper = wrapper;
  }

  /** The environment of clients and of the engine's own commands. */
  get environment(): Readonly<Record<string, string>> {
    return {
      PATH: process.env.PATH ?? "",
      HOME: "/root",
      TSBOX_HOST: `unix://${this.socket}`,
      TSBOX_STATE: this.state,
      TSBOX_ROOT: this.root,
      NODE_COMPILE_CACHE: compileCache,
    };
  }

  /** All objects of this engine on the host have this in their names. */
  get id(): string {
    return readFileSync(join(this.root, "engine-id"), "utf8").trim();
  }

  get log(): string {
    return this.#log;
  }

  async start(): Promise<void> {
    mkdirSync(compileCache, { recursive: true });
    mkdirSync(join(this.root, "cache"), { recursive: true, mode: 0o700 });
    if (!existsSync(join(this.root, "cache/node"))) symlinkSync(compileCache, join(this.root, "cache/node"));
    const config = this.#config === null ? [] : ["--config", this.#config];
    const [program = binary, ...words] = [...this.#wrapper, binary, "daemon", "--root", this.root, "--state", this.state, ...config];
    const launcher = spawn(program, words, {
      stdio: ["ignore", "pipe", "pipe"],
      env: this.environment,
    });
    this.#launcher = launcher;
    for (const stream of [launcher.stdout, launcher.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => (this.#log += text));
    // A killed launcher leaves its socket behind, so check for a listener.
    while (!(await listening(join(this.state, "launcher.sock")))) {
      if (!this.running) throw new Error(`the engine did not start: ${this.#log}`);
      await pause(5);
    }
    const { code, stderr } = await this.run(["version"]);
    if (code !== 0) throw new Error(`the engine does not answer: ${stderr}${this.#log}`);
    this.#descriptors = descriptors(launcher.pid ?? 0).length;
  }

  get launcherPid(): number {
    return this.#launcher?.pid ?? 0;
  }

  /**
   * Descriptors of launcher and daemon that are not needed when no container is left: files of containers and layers, and in the launcher
   * any beyond the number at the start (sockets of shims and clients).
   */
  heldOpen(): readonly string[] {
    const launcher = this.#wrapper.length > 0 ? undefined : this.#launcher?.pid;
    if (launcher === undefined) return [];
    const [own, daemon] = [descriptors(launcher), children(launcher).flatMap(descriptors)];
    const more = own.length > this.#descriptors ? own.map((link) => `launcher: ${link}`) : [];
    return [...more, ...[...own, ...daemon].filter((link) => /\/containers\/[0-9a-f]{64}|\/active\/|\/volumes\//.test(link))];
  }

  get running(): boolean {
    return this.#launcher !== undefined && this.#launcher.exitCode === null && this.#launcher.signalCode === null;
  }

  /** The Node process: the launcher's child that is not a shim. */
  daemonPid(): number {
    for (const pid of children(this.launcherPid)) if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("host/main")) return pid;
    throw new Error("no daemon runs");
  }

  shims(): readonly number[] {
    return children(this.launcherPid).filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, "utf8") === "tsbox:[shim]\n";
      } catch {
        return false;
      }
    });
  }

  async stop(): Promise<void> {
    const launcher = this.#launcher;
    if (launcher === undefined || !this.running) return;
    const ended = new Promise((resolve) => launcher.once("exit", resolve));
    launcher.kill("SIGTERM");
    await ended;
  }

  /** Kills the launcher with SIGKILL. The daemon ends with it; shims go on. */
  async killLauncher(): Promise<void> {
    const launcher = this.#launcher;
    const daemon = this.daemonPid();
    const ended = new Promise((resolve) => launcher?.once("exit", resolve));
    launcher?.kill("SIGKILL");
    await ended;
    await until(() => !alive(daemon), "the daemon to end with its launcher");
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const client = this.client(argv, options);
    return client.ended;
  }

  /** Fails unless the exit code is 0; returns standard output. */
  async ok(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const ran = await this.run(argv, options);
    if (ran.code !== 0) throw new Error(`tsbox ${argv.join(" ")} exited ${ran.code}: ${ran.stderr}\n${this.#log}`);
    return ran.stdout;
  }

  client(argv: readonly string[], options: RunOptions = {}): { readonly process: ChildProcess; readonly ended: Promise<Ran> } {
    const child = spawn(binary, argv as string[], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...this.environment, ...options.environment },
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.stdin.on("error", () => {});
    if (options.input !== undefined) child.stdin.end(options.input);
    else child.stdin.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeout ?? 60_000);
    const ended = new Promise<Ran>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        clearTimeout(timer);
        resolve({ code: code ?? (signal === "SIGKILL" ? 137 : 1), stdout, stderr });
      });
    });
    return { process: child, ended };
  }

  /** One container as `inspect` shows it. */
  async inspect(name: string): Promise<Inspected> {
    return (JSON.parse(await this.ok(["inspect", name])) as [Inspected])[0];
  }

  dispose(): void {
    rmSync(this.state, { recursive: true, force: true });
    this.#makeWritable();
    rmSync(this.root, { recursive: true, force: true });
  }

  /** Layers of images in storage-btrfs are read-only subvolumes, in which nothing can be removed. */
  #makeWritable(): void {
    const store = join(this.root, "storage-btrfs");
    for (const folder of snapshotFolders.map((name) => join(store, name)).filter((path) => existsSync(path)))
      for (const name of readdirSync(folder)) {
        const tree = join(folder, name, "fs");
        if (existsSync(tree)) execFileSync("btrfs", ["property", "set", "-f", "-ts", tree, "ro", "false"]);
      }
  }
}

/** The folders of a store of snapshots (kernel/src/snapshots/store.ts). */
const snapshotFolders = ["active", "committed", "view", "making", "removed"];

export interface Inspected {
  readonly Id: string;
  readonly State: {
    readonly Status: string;
    readonly Pid: number;
    readonly ExitCode: number;
    readonly Running: boolean;
    readonly OOMKilled: boolean;
  };
  readonly NetworkSettings: {
    readonly IPAddress: string;
    readonly Gateway: string;
    readonly MacAddress: string;
    readonly Ports: Readonly<Record<string, readonly { readonly HostPort: string }[] | null>>;
  };
  readonly LogPath: string;
}

/** Starts an engine. When the case ends, its containers are removed, it is stopped, and the host is checked for leftovers. */
export async function engine(
  test: Case,
  config: string | null = null,
  wrapper: readonly string[] = [],
  socket?: string,
  state?: string,
): Promise<Engine> {
  const base = process.env.TSBOX_TEST_ROOT ?? "/var/lib";
  mkdirSync(base, { recursive: true });
  const directory = mkdtempSync(join(base, "tsbox-test-"));
  const own = new Engine(directory, withDrivers(directory, config), wrapper, socket, state);
  test.cleanup(() => rmSync(directory, { recursive: true, force: true }));
  test.cleanup(() => own.dispose());
  const before = hostSnapshot(own.root, own.state);
  test.cleanup(() => assertNothingLeft(before));
  test.cleanup(async () => {
    const id = existsSync(join(own.root, "engine-id")) ? own.id : null;
    await own.stop();
    if (id !== null) await assertNothingLeft({ markers: [`tsbox-${id}`, `tsb${id.slice(0, 4)}`], things: new Set() });
  });
  test.cleanup(async () => {
    // A client would start another engine.
    if (!own.running) return;
    const ids = (await own.run(["ps", "-aq"])).stdout.split("\n").filter(Boolean);
    if (ids.length > 0) await own.run(["rm", "-f", ...ids]);
    await until(() => own.heldOpen().length === 0, "the engine to let go of what its containers had", 5_000).catch(() => {
      throw new Error(`the engine still holds open:\n${own.heldOpen().join("\n")}`);
    });
  });
  await own.start();
  return own;
}

/**
 * `TSBOX_TEST_DRIVERS={"exec": "lxc"}`: the drivers of every engine that names no others, for running a test file again over them. Returns
 * the path of the config file; null: none.
 */
function withDrivers(directory: string, config: string | null): string | null {
  const { TSBOX_TEST_DRIVERS: drivers } = process.env;
  if (drivers === undefined) return config;
  const own = config === null ? {} : JSON.parse(readFileSync(config, "utf8"));
  const path = join(directory, "config.json");
  writeFileSync(path, JSON.stringify({ ...own, drivers: { ...JSON.parse(drivers), ...own.drivers } }));
  return path;
}

export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  milliseconds = 15_000,
): Promise<void> {
  const end = Date.now() + milliseconds;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${typeof what === "string" ? what : what()}`);
    await pause(10);
  }
}

/** A zombie counts as dead. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** The targets of a process's descriptors. */
function descriptors(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((number) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${number}`)];
      } catch {
        // Closed meanwhile.
        return [];
      }
    });
  } catch {
    return [];
  }
}

export function children(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

export function listening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    // A path may be longer than a socket's address, so the socket is reached through its folder's descriptor.
    const folder = openSync(dirname(path), "r");
    const socket = connect(`/proc/self/fd/${folder}/${basename(path)}`);
    socket.on("close", () => closeSync(folder));
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
