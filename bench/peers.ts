/** The engines that are compared: tsbox, Debian's dockerd in separate namespaces, and plain `runc run`. All on this host, in one run. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

export const home: string = join(import.meta.dirname, "..");
export const tsbox: string = join(home, "build/bin/tsbox");

export interface Peer {
  readonly environment: NodeJS.ProcessEnv;
  /** The engine's own processes: shims and daemons, without the containers' processes. */
  pids(): readonly number[];
  /** Runs the garbage collector, if the engine has one. */
  collect(): void;
  stop(): Promise<void>;
}

const quiet = (command: string, args: readonly string[], environment?: NodeJS.ProcessEnv): string =>
  execFileSync(command, args as string[], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    ...(environment ? { env: environment } : {}),
  });

/** Mounts a tmpfs for the state of a peer, as /run is on every host with systemd, whatever it is on this host. */
function inMemory(directory: string): () => void {
  mkdirSync(directory, { recursive: true });
  quiet("mount", ["-t", "tmpfs", "tmpfs", directory]);
  return () => void quiet("umount", ["-R", directory]);
}

async function until(ready: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !ready(); tries += 1) {
    if (tries > 600) throw new Error(`${what} does not come up`);
    await pause(50);
  }
}

/** All descendants of `pid`. */
function below(pid: number): readonly number[] {
  const found: number[] = [];
  const walk = (parent: number): void => {
    let list = "";
    try {
      list = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8");
    } catch {
      return;
    }
    for (const child of list.trim().split(" ").filter(Boolean).map(Number)) {
      found.push(child);
      walk(child);
    }
  };
  walk(pid);
  return [pid, ...found];
}

export async function startTsbox(directory: string): Promise<Peer> {
  const state = mkdtempSync("/run/tsbox-bench-");
  const forget = inMemory(state);
  const root = join(directory, "tsbox");
  const environment = { ...process.env, TSBOX_STATE: state, TSBOX_ROOT: root, TSBOX_HOST: `unix://${state}/tsbox.sock` };
  const launcher = spawn(tsbox, ["daemon"], { stdio: "ignore", env: environment });
  const ended = new Promise((resolve) => launcher.on("exit", resolve));
  await until(() => existsSync(join(state, "launcher.sock")), "tsbox");
  quiet(tsbox, ["version"], environment);
  const ours = (pid: number): boolean => /memfd:tsbox|tsbox\/bin|node/.test(exe(pid));
  return {
    environment,
    pids: () => below(launcher.pid ?? 0).filter(ours),
    collect: () => {
      const daemon = below(launcher.pid ?? 0).find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("host/main"));
      if (daemon !== undefined) process.kill(daemon, "SIGUSR2");
    },
    stop: async () => {
      launcher.kill("SIGTERM");
      await ended;
      forget();
      rmSync(state, { recursive: true, force: true });
    },
  };
}

function exe(pid: number): string {
  try {
    return `${readFileSync(`/proc/${pid}/comm`, "utf8")} ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")} ${execFileSync("readlink", [`/proc/${pid}/exe`], { encoding: "utf8" })}`;
  } catch {
    return "";
  }
}

/** dockerd with a bridge, in new network and mount namespaces; null if it is not installed. */
export async function startDocker(directory: string): Promise<Peer | null> {
  if (!existsSync("/usr/sbin/dockerd") || spawnSync("docker", ["--version"]).status !== 0) return null;
  const base = join(directory, "docker");
  mkdirSync(base, { recursive: true });
  const socket = join(base, "docker.sock");
  const state = join(base, "exec");
  const forget = inMemory(state);
  const flags = [
    "--data-root",
    join(base, "data"),
    "--exec-root",
    state,
    "-p",
    join(base, "pid"),
    "-H",
    `unix://${socket}`,
    "--insecure-registry",
    "127.0.0.0/8",
  ];
  const daemon = spawn(
    "unshare",
    [
      "-n",
      "-m",
      "--propagation",
      "private",
      "sh",
      "-c",
      `ip link set lo up; mount -t tmpfs tmpfs /run; exec dockerd ${flags.join(" ")} >${base}/log 2>&1`,
    ],
    { stdio: "ignore" },
  );
  const ended = new Promise((resolve) => daemon.on("exit", resolve));
  const environment = { ...process.env, DOCKER_HOST: `unix://${socket}` };
  await until(() => spawnSync("docker", ["version"], { env: environment, stdio: "ignore" }).status === 0, "dockerd");
  return {
    environment,
    pids: () => [...below(daemon.pid ?? 0), ...shimsOf(base)],
    collect: () => {},
    stop: async () => {
      daemon.kill("SIGTERM");
      await ended;
      forget();
    },
  };
}

/** containerd's shims are not descendants of dockerd. Their command line contains its directory. */
function shimsOf(base: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const words = exe(pid);
      return words.includes("containerd-shim") && words.includes(base);
    });
}

/** The arguments of `runc run`: a bundle with the same root, and the directory of its state. */
export interface Bundle {
  readonly path: string;
  readonly state: string;
  stop(): void;
}

export function runcBundle(directory: string, rootfs: string): Bundle | null {
  if (spawnSync("runc", ["--version"]).status !== 0) return null;
  const bundle = join(directory, "bundle");
  mkdirSync(bundle, { recursive: true });
  execFileSync("runc", ["spec"], { cwd: bundle });
  const path = join(bundle, "config.json");
  const spec = JSON.parse(readFileSync(path, "utf8"));
  spec.root = { path: rootfs, readonly: true };
  spec.process.args = ["/bin/true"];
  spec.process.terminal = false;
  // This host may refuse to raise a limit.
  spec.process.rlimits = undefined;
  writeFileSync(path, JSON.stringify(spec));
  const state = join(directory, "runc");
  return { path: bundle, state, stop: inMemory(state) };
}

/** Sum of the proportional set sizes, in KiB. */
export function memory(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    try {
      return sum + Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
    } catch {
      return sum;
    }
  }, 0);
}
