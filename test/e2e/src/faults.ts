/**
 * A fault injector. Clients run random commands. Meanwhile one process at a time (client, launcher, daemon, shim, or its forks) is killed
 * or stopped, at a random moment or at one of its next messages or writes, or the disk of the root or state directory is full for a while.
 * After each round all processes are continued, and the engine's state is compared with its acknowledgements.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Case } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar } from "./busybox.ts";
import { alive, children, type Engine, engine, type Ran, until } from "./engine.ts";
import { busyboxLayout, registry } from "./images.ts";
import { randomOf } from "./life.ts";

/** The maximum duration of a command, whatever happens to its peers. Stops are shorter. */
const DEADLINE = 30_000;
const CLIENTS = 3;
export const faultsARound = 6;
const kinds = ["client", "daemon", "shim", "launcher", "root", "state"] as const;
type Kind = (typeof kinds)[number];
const actions = ["kill", "stop"] as const;
type Action = (typeof actions)[number];
/** The system calls at which a process is hit: when it sends, when it receives, when it changes files or mounts. */
const callsOf = {
  speaking: "sendmsg,sendto,write,writev",
  hearing: "recvmsg,recvfrom,read,readv",
  storing: "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,fsync,fdatasync,pwrite64,mount,move_mount,umount2",
} as const;
type Calls = keyof typeof callsOf;
const calls = Object.keys(callsOf) as Calls[];
/** The timeout for the call, in milliseconds. */
const callTimeout = 1_500;
/** The maximum duration of a round, in milliseconds: nothing in it waits for longer than a command's deadline or a few of them. */
const ROUND = 150_000;

export interface World {
  readonly own: Engine;
  /** Directories on separate small disks. */
  readonly disks: Readonly<Record<"root" | "state", string>>;
  /** A reference to pull. */
  readonly remote: string;
}

/** An engine whose root and state are on separate small disks, with an image `bb`, and a registry that has another image. */
export async function faultWorld(t: Case): Promise<World> {
  const base = mkdtempSync("/var/tmp/tsbox-faults-");
  t.cleanup(() => rmSync(base, { recursive: true, force: true }));
  const disk = (name: string, size: string): string => {
    const path = join(base, name);
    mkdirSync(path);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path], { encoding: "utf8" });
    assert.is(mounted.status, 0, mounted.stderr);
    t.cleanup(() => assert.is(spawnSync("umount", [path]).status, 0, `${path} is still in use`));
    return path;
  };
  const disks = { root: disk("root", "256m"), state: disk("state", "16m") };
  const server = await registry(t);
  server.push(busyboxLayout(t), "bb", "far:1");
  const before = process.env.TSBOX_TEST_ROOT;
  process.env.TSBOX_TEST_ROOT = disks.root;
  const state = join(disks.state, "state");
  mkdirSync(state);
  const own = await engine(t, null, [], undefined, state).finally(() => {
    if (before === undefined) delete process.env.TSBOX_TEST_ROOT;
    else process.env.TSBOX_TEST_ROOT = before;
  });
  await own.ok(["import", "-c", "ENV PATH=/bin", "-", "bb"], { input: busyboxTar(t) });
  return { own, disks, remote: `${server.address}/far:1` };
}

/**
 * The objects that must exist, and those that must not, according to the answers that clients got. If a client got no final answer, both
 * are allowed.
 */
class Promised {
  readonly containers: Set<string> = new Set();
  readonly gone: Set<string> = new Set();
  readonly images: Set<string> = new Set();
}

/**
 * Runs one round. `long`: how many of its stops take ten seconds. Throws when a command hangs, an acknowledged result is lost, or `ps` and
 * the processes differ.
 */
export async function faultRound(world: World, seed: number, promised: Promised, long = 0): Promise<void> {
  const { own } = world;
  const random = randomOf(seed);
  const trace: string[] = [];
  const log = (line: string): void => void trace.push(`${Math.round(performance.now())} ${line}`);
  const clients = new Set<number>();
  let ending = false;

  const run = async (argv: readonly string[]): Promise<Ran> => {
    const client = own.client(argv, { timeout: DEADLINE });
    const pid = client.process.pid ?? 0;
    let hung = false;
    const timer = setTimeout(() => (hung = true), DEADLINE - 100);
    clients.add(pid);
    log(`> ${argv.join(" ")}`);
    const ran = await client.ended;
    clearTimeout(timer);
    clients.delete(pid);
    log(`< ${argv.join(" ")}: ${ran.code} ${ran.stderr.trim().slice(0, 300)}`);
    if (hung) throw new Error(`${argv.join(" ")} did not answer within ${DEADLINE / 1000} s`);
    return ran;
  };

  const work = async (which: number): Promise<void> => {
    const next = randomOf(seed * 31 + which);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
    const mine: string[] = [];
    for (let at = 0; !ending; at += 1) {
      const name = `f-${seed}-${which}-${at}`;
      const some = mine.length > 0 ? pick(mine) : null;
      const network = next() < 0.3 ? [] : ["--net", "none"];
      const verb =
        some === null ? "run -d" : pick(["run -d", "run --rm", "exec", "exec", "stop", "kill", "rm", "rm", "pull", "commit", "cp"]);
      switch (verb) {
        case "run -d":
          if ((await run(["run", "-d", "--name", name, ...network, "bb", "sleep", "1000"])).code === 0) promised.containers.add(name);
          mine.push(name);
          break;
        case "run --rm":
          if ((await run(["run", "--rm", "--name", name, ...network, "bb", "true"])).code === 0) promised.gone.add(name);
          break;
        case "exec":
          await run(["exec", some ?? "", "echo", "here"]);
          break;
        case "stop":
          await run(["stop", "-t", "1", some ?? ""]);
          break;
        case "kill":
          await run(["kill", some ?? ""]);
          break;
        case "rm":
          mine.splice(mine.indexOf(some ?? ""), 1);
          promised.containers.delete(some ?? "");
          if ((await run(["rm", "-f", some ?? ""])).code === 0) promised.gone.add(some ?? "");
          break;
        case "pull":
          promised.images.delete(world.remote);
          if (which === 0) await run(["rmi", "-f", world.remote]);
          if ((await run(["pull", world.remote])).code === 0 && which === 0) promised.images.add(world.remote);
          break;
        case "commit":
          if ((await run(["commit", some ?? "", `${name}:1`])).code === 0) promised.images.add(`${name}:1`);
          break;
        case "cp":
          await run(["cp", `${some}:/bin/busybox`, `${world.disks.state}/../${name}`]);
          rmSync(join(world.disks.state, "..", name), { force: true });
          break;
      }
    }
  };

  const fault = async (): Promise<void> => {
    await pause(random() * 150);
    const kind = kinds[Math.floor(random() * kinds.length)] as Kind;
    const milliseconds = random() < long ? 10_000 : 100 + random() * 700;
    if (kind === "root" || kind === "state") return full(world.disks[kind], kind, milliseconds, log);
    const victims = { client: () => [...clients], daemon: () => daemons(own), shim: () => own.shims(), launcher: () => [own.launcherPid] };
    const all = victims[kind]();
    const victim = all[Math.floor(random() * all.length)];
    if (victim === undefined) return;
    const action = actions[Math.floor(random() * actions.length)] as Action;
    const call = random() < 0.5 ? null : { kind: calls[Math.floor(random() * calls.length)] as Calls, count: 1 + Math.floor(random() * 6) };
    const strike = async (): Promise<void> => {
      log(`${action} ${kind} ${victim}${call === null ? "" : ` at ${call.kind} ${call.count}`}`);
      if (call !== null) await atCall(victim, action, call, milliseconds, log);
      else if (action === "kill") await killed([victim]);
      else await stopped([victim], milliseconds);
    };
    return kind === "launcher" ? launcherStruck(own, strike) : strike();
  };

  const round = async (): Promise<void> => {
    const all = Promise.all(Array.from({ length: CLIENTS }, (_, which) => work(which)));
    // A client's failure is reported when the faults are over.
    all.catch(() => {});
    try {
      for (let at = 0; at < faultsARound; at += 1) await fault();
    } finally {
      ending = true;
      log("the clients end");
      await all;
    }
    log("compare");
    await compare(own, promised, log);
    if (promised.containers.size > 8) await clear(own, promised);
  };
  try {
    await within(ROUND, round(), () => `the round did not end; clients ${[...clients].join(" ") || "none"}, ${tree(own)}`);
  } catch (error) {
    throw new Error(`FAULTS_FROM=${seed}: ${error instanceof Error ? error.message : error}\n${trace.join("\n")}\n${own.log.slice(-3000)}`);
  }
}

export const promisedNothing = (): Promised => new Promised();

/** Fails when `work` takes longer than `milliseconds`. */
async function within<T>(milliseconds: number, work: Promise<T>, what: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(what())), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** The engine's processes with their states, and the holders of the lock of a start. */
function tree(own: Engine): string {
  const state = (pid: number): string => {
    try {
      const [, name, letter] = /^\d+ \((.*)\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
      return `${pid} ${name} ${letter}`;
    } catch {
      return `${pid} gone`;
    }
  };
  const launcher = own.launcherPid;
  const lock = spawnSync("fuser", [join(own.state, "start.lock")], { encoding: "utf8" });
  return `processes ${[launcher, ...children(launcher)].map(state).join(", ")}; start.lock ${lock.stdout ?? ""}`;
}

/** Removes all containers, acknowledged or not. */
async function clear(own: Engine, promised: Promised): Promise<void> {
  const ids = (await own.ok(["ps", "-aq"], { timeout: DEADLINE })).split("\n").filter(Boolean);
  await own.ok(["rm", "-f", ...ids], { timeout: DEADLINE });
  promised.containers.clear();
  promised.gone.clear();
  assert.is(await own.ok(["ps", "-aq"]), "");
  await until(
    () => processes(own).length === 0 && own.shims().length === 0,
    () => `everything to end: ${[...processes(own), ...own.shims()].join(" ")} live`,
  );
}

/** Checks that listed, running and acknowledged containers are the same. */
async function compare(own: Engine, promised: Promised, log: (line: string) => void): Promise<void> {
  const ask = async (argv: readonly string[]): Promise<string[]> => {
    const began = performance.now();
    const ran = await own.run(argv, { timeout: DEADLINE });
    const took = performance.now() - began;
    if (took > 1_000) log(`= ${argv.join(" ")}: ${ran.code} after ${Math.round(took)} ms ${ran.stderr.trim()}`);
    assert.is(ran.code, 0, `${argv.join(" ")}: ${ran.stderr}`);
    return ran.stdout.split("\n").filter(Boolean);
  };
  const names = new Set(await ask(["ps", "-a", "--format", "{{.Names}}"]));
  for (const name of promised.containers) assert.ok(names.has(name), `${name} was acknowledged and is lost`);
  const images = new Set(await ask(["images", "--format", "{{.Repository}}:{{.Tag}}"]));
  for (const image of promised.images) assert.ok(images.has(image), `image ${image} was acknowledged and is lost`);
  let kept: readonly string[] = [];
  await until(
    async () => {
      kept = (await ask(["ps", "-a", "--format", "{{.Names}} {{.Status}}"])).filter((line) => promised.gone.has(line.split(" ")[0] ?? ""));
      return kept.length === 0;
    },
    () => `removed containers to be gone: ${kept.join(", ")}`,
    10_000,
  );
  await until(
    async () => {
      const pids = await running(own, ask);
      return pids.every(alive) && processes(own).every((pid) => pids.includes(pid));
    },
    () => `ps to agree with the processes: ${processes(own).join(" ")} live`,
    15_000,
  );
}

/** First processes of the containers that `ps` shows as running. */
async function running(own: Engine, ask: (argv: readonly string[]) => Promise<string[]>): Promise<number[]> {
  const ids = await ask(["ps", "-q"]);
  if (ids.length === 0) return [];
  const { stdout } = await own.run(["inspect", "-f", "{{.State.Pid}}", ...ids]);
  return stdout.split("\n").filter(Boolean).map(Number);
}

/** The processes in containers' cgroups of this engine, according to the kernel: the `sleep 1000` of each. */
function processes(own: Engine): number[] {
  const marker = `tsbox-${own.id}`;
  const found = spawnSync("pgrep", ["-x", "sleep"], { encoding: "utf8" }).stdout.split("\n").filter(Boolean).map(Number);
  return found.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(marker) && alive(pid);
    } catch {
      return false;
    }
  });
}

function daemons(own: Engine): readonly number[] {
  try {
    return [own.daemonPid()];
  } catch {
    return [];
  }
}

async function full(directory: string, kind: string, milliseconds: number, log: (line: string) => void): Promise<void> {
  const ballast = join(directory, "ballast");
  const { bavail, bsize } = statfsSync(directory);
  log(`full: ${kind}, ${bavail * bsize} bytes were free`);
  // To the last page, even if space is freed meanwhile.
  spawnSync("fallocate", ["-l", String(bavail * bsize), ballast]);
  spawnSync("sh", ["-c", `cat /dev/zero >>'${ballast}' 2>/dev/null`]);
  await pause(milliseconds);
  rmSync(ballast, { force: true });
  log(`free: ${kind}`);
}

async function killed(pids: readonly number[]): Promise<void> {
  for (const pid of pids) signal(pid, "SIGKILL");
  await until(
    () => !pids.some(alive),
    () => `${pids} to die`,
  );
}

async function stopped(pids: readonly number[], milliseconds: number): Promise<void> {
  for (const pid of pids) signal(pid, "SIGSTOP");
  await pause(milliseconds);
  for (const pid of pids) signal(pid, "SIGCONT");
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // The process has ended by itself.
  }
}

/** A tracer sends the signal to a process, or to one of its new children, during the system call. */
async function atCall(
  pid: number,
  action: Action,
  call: { readonly kind: Calls; readonly count: number },
  milliseconds: number,
  log: (line: string) => void,
): Promise<void> {
  const set = callsOf[call.kind];
  const inject = `${set}:signal=${action === "kill" ? "KILL" : "STOP"}:when=${call.count}`;
  const argv = ["-f", "-q", "-o", "|cat >&2", "-p", String(pid), "-e", `trace=${set}`, "-e", `inject=${inject}`];
  const tracer = spawn("strace", argv, { stdio: ["ignore", "ignore", "pipe"] });
  const hit = action === "kill" ? /^(\d+) \+\+\+ killed by SIGKILL/m : /^(\d+) --- stopped by SIGSTOP/m;
  let said = "";
  const struck = new Promise<void>((resolve) => {
    tracer.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (hit.test(said)) resolve();
    });
    tracer.once("exit", () => resolve());
  });
  const ended = new Promise((resolve) => tracer.once("exit", resolve));
  await Promise.race([struck, pause(callTimeout)]);
  tracer.kill("SIGTERM");
  const timer = setTimeout(() => tracer.kill("SIGKILL"), 5_000);
  await ended;
  clearTimeout(timer);
  const victims = [...said.matchAll(new RegExp(hit, "gm"))].map(([, one]) => Number(one));
  log(`struck: ${[...new Set(victims)].join(" ") || "nobody"}`);
  // The tracer does not report a process that was stopped while the tracer exited.
  if (action === "stop") {
    await pause(milliseconds);
    for (const one of [...victims, pid, ...children(pid)]) signal(one, "SIGCONT");
  } else await killed(victims);
}

/**
 * Without a launcher a client would start another engine. So this holds the lock that such clients need until the case's own engine runs
 * again.
 */
async function launcherStruck(own: Engine, strike: () => Promise<void>): Promise<void> {
  const holder = spawn("flock", ["-F", join(own.state, "start.lock"), "sh", "-c", "echo held; exec cat"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  const ended = new Promise((resolve) => holder.once("exit", resolve));
  const held = new Promise<void>((resolve, reject) => {
    holder.stdout.once("data", () => resolve());
    holder.once("error", reject);
    holder.once("exit", () => reject(new Error("nobody got the lock of a start")));
  });
  try {
    await within(DEADLINE, held, () => `the lock of a start is held by somebody else: ${tree(own)}`);
    await until(() => daemons(own).length > 0, "a daemon");
    const [daemon = 0] = daemons(own);
    const launcher = own.launcherPid;
    await strike();
    if (alive(launcher)) return;
    await until(() => !own.running && !alive(daemon), "the daemon to end with its launcher");
    await own.start();
  } finally {
    holder.kill("SIGKILL");
    holder.stdin.end();
    await ended;
  }
}
