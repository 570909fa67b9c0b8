/**
 * A world of real containers. It acts as the engine's shim: it mounts the root in a new mount namespace and runs the launch there: a spec
 * with the engine's runtime from its command line, a command without changes. The root is an overlay over a directory that contains little
 * more than busybox.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Call, createCall, type ExecDriver, fail, type Launch, type OciSpec, parseContainerId, silentLog } from "@tsbox/kernel";
import { launchWords, outcomeOf, type Place } from "./launches.ts";
import type { Ended, ExecSubjectBundle, ExecWorld, RunningContainer, Streams } from "./world.ts";

export interface ExecSubject {
  /** Opens the driver with its own directory. */
  open(directory: string): Promise<{ readonly driver: ExecDriver; close(): Promise<void> }>;
  /** The directory of the containers' roots, on a file system that supports an overlay's upper directory. */
  readonly directory: string;
}

const busybox = "/bin/busybox";
const applets = [
  "cat",
  "dd",
  "echo",
  "env",
  "grep",
  "head",
  "hostname",
  "id",
  "ls",
  "mkdir",
  "printf",
  "pwd",
  "readlink",
  "sh",
  "sleep",
  "test",
  "tr",
  "true",
  "tty",
];
/** Milliseconds after which a container that does not end is killed; its rule has failed. */
const endTimeout = 30_000;
/** Milliseconds to wait for output that must appear at once. */
const outputTimeout = 5_000;

/** The reason why this host can't start containers, or null. */
export function whyNoExecWorld(): string | null {
  if (process.geteuid?.() !== 0) return "needs root";
  if (!existsSync(busybox)) return "needs busybox: apt-get install busybox-static";
  return findRuntime() === null ? "needs tsbox-runtime: scripts/setup builds it" : null;
}

/** The runtime of the checkout that contains this file, else of PATH. */
function findRuntime(): string | null {
  const built: string[] = [];
  for (let directory = import.meta.dirname; directory !== dirname(directory); directory = dirname(directory)) {
    built.push(join(directory, "build", "bin"));
  }
  const places = [...built, ...(process.env.PATH ?? "").split(":")].map((directory) => join(directory, "tsbox-runtime"));
  return places.find((path) => existsSync(path)) ?? null;
}

export async function makeExecWorld(subject: ExecSubject): Promise<ExecWorld> {
  const runtime = findRuntime();
  const reason = whyNoExecWorld();
  if (runtime === null || reason !== null) throw fail("Unsupported", `no containers can be started here: ${reason}`);
  const call = createCall(silentLog);
  const base = mkdtempSync(join(subject.directory, "conformance-"));
  const own = join(base, "driver");
  const image = join(base, "image");
  makeImage(image);
  mkdirSync(own);
  const { driver, close } = await subject.open(own);
  const undo: (() => void | Promise<void>)[] = [];
  const placeOf = (bundle: ExecSubjectBundle): Place => {
    const directory = dirname(bundle.directory);
    return { runtime, state: join(base, "runtime"), directory, root: join(directory, "root") };
  };
  return {
    driver,
    powers: driver.powers,
    call,
    bundle: (spec) => makeBundle(base, image, spec),
    run: async (bundle, input = "") => {
      const container = await start(call, driver, bundle, placeOf(bundle), {});
      container.end(input);
      return container.ended;
    },
    start: async (bundle, streams = {}) => {
      const container = await start(call, driver, bundle, placeOf(bundle), streams);
      // A rule that fails in the middle leaves the container running.
      undo.push(async () => {
        container.kill();
        await container.ended.catch(() => {});
      });
      return container;
    },
    networkNamespace: async () => {
      const { path, end } = await networkNamespace();
      undo.push(end);
      return path;
    },
    filesOutside: (bundle) => files(base, [bundle.directory, own]),
    onHost: () => onHost(base),
    close: async () => {
      await close();
      for (const step of undo.reverse()) await step();
      rmSync(base, { recursive: true, force: true });
    },
  };
}

function makeImage(root: string): void {
  for (const name of ["bin", "dev", "etc", "proc", "root", "sys", "tmp"]) mkdirSync(join(root, name), { recursive: true });
  copyFileSync(busybox, join(root, "bin/busybox"));
  chmodSync(join(root, "bin/busybox"), 0o755);
  for (const applet of applets) symlinkSync("busybox", join(root, "bin", applet));
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\n");
  writeFileSync(join(root, "etc/mark"), "of the image\n");
}

function makeBundle(base: string, image: string, spec: OciSpec): ExecSubjectBundle {
  const id = parseContainerId(randomBytes(32).toString("hex"));
  const at = (name: string): string => join(base, id, name);
  for (const name of ["bundle", "root", "upper", "work"]) mkdirSync(at(name), { recursive: true });
  const options = [`lowerdir+=${image}`, `upperdir=${at("upper")}`, `workdir=${at("work")}`];
  return {
    id,
    directory: at("bundle"),
    // One directory below the root cgroup, so that no parent of the container's cgroup is left behind.
    spec: { ...spec, linux: { ...spec.linux, cgroupsPath: `/${cgroupPrefix(base)}-${id.slice(0, 8)}` } },
    rootfs: [{ type: "overlay", source: "overlay", target: null, options }],
    changes: at("upper"),
  };
}

interface Started extends RunningContainer {
  end(input: string): void;
  /** Kills the container and its starter. */
  kill(): void;
}

async function start(call: Call, driver: ExecDriver, bundle: ExecSubjectBundle, place: Place, streams: Streams): Promise<Started> {
  const forget = async (): Promise<void> => {
    await driver.delete(call, bundle.id);
    // Removes what a broken driver, or a container that was killed, has left.
    if (existsSync(join(place.state, bundle.id))) spawnSync(place.runtime, ["--root", place.state, "delete", "--force", bundle.id]);
  };
  try {
    const launch = await driver.plan(call, bundle);
    const container = execute(launchWords(launch, bundle, place), bundle, streams);
    const ended = container.ended.then((one) => outcomeOf(call, driver, launch, place, one)).finally(forget);
    // The rule awaits it later.
    ended.catch(() => {});
    return { ...container, ended, exec: (...words) => execIn(launch, bundle, place, words) };
  } catch (error) {
    await forget();
    throw error;
  }
}

async function execIn(launch: Launch, { id }: ExecSubjectBundle, { runtime, state }: Place, words: readonly string[]): Promise<number> {
  if (launch.kind !== "oci") throw fail("Unsupported", "the suite runs an exec in containers of the engine's own runtime alone");
  const child = spawn(runtime, ["--root", state, "exec", id, ...words], { stdio: "ignore", timeout: endTimeout });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 255));
  });
}

function execute(
  [program = "", ...words]: readonly string[],
  bundle: ExecSubjectBundle,
  { stdin, stdout }: Streams,
): Omit<Started, "exec"> {
  // Node can't start a program without a descriptor 0, so a shell closes it.
  const argv = stdin === "closed" ? ["sh", "-c", 'exec 0<&-; exec "$@"', "sh", program, ...words] : [program, ...words];
  const child = spawn(argv[0] ?? "", argv.slice(1), { stdio: ["pipe", "pipe", "pipe"], env: { PATH: process.env.PATH ?? "" } });
  const output = { stdout: "", stderr: "", counted: 0 };
  const waiting: (() => void)[] = [];
  const wakeAll = (): void => {
    for (const wake of waiting.splice(0)) wake();
  };
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
  if (stdout === "no reader") child.stdout.destroy();
  else if (stdout === "counted")
    child.stdout.on("data", (bytes: Buffer) => {
      output.counted += bytes.length;
      // A process that keeps writing is slow, not stuck.
      timer.refresh();
    });
  else
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output.stdout += text;
      wakeAll();
    });
  // A process that does not read its input may end before all of the input is written.
  child.stdin.on("error", () => undefined);
  const kill = (): void => {
    child.kill("SIGKILL");
    for (const pid of processes(bundle)) process.kill(pid, "SIGKILL");
  };
  const timer = setTimeout(kill, endTimeout);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      wakeAll();
      const shown = stdout === "counted" ? String(output.counted) : output.stdout;
      if (signal === null) resolve({ code: code ?? 255, stdout: shown, stderr: output.stderr });
      else reject(fail("DeadlineExceeded", `the container had not ended after ${endTimeout / 1000} s`));
    });
  });
  return {
    ended,
    kill,
    end: (input) => child.stdin.end(input),
    write: (text) => void child.stdin.write(text),
    async shows(text) {
      const late = setTimeout(wakeAll, outputTimeout);
      const begun = Date.now();
      try {
        while (!output.stdout.includes(text)) {
          if (child.exitCode !== null || child.signalCode !== null || Date.now() - begun >= outputTimeout)
            throw fail("FailedPrecondition", `it shows ${JSON.stringify(output.stdout)}, not ${JSON.stringify(text)}`);
          await new Promise<void>((resolve) => waiting.push(resolve));
        }
      } finally {
        clearTimeout(late);
      }
    },
    signal: (name) => process.kill(firstProcess(bundle), name),
    memory: () => memoryOf(child.pid ?? 0, processes(bundle)),
  };
}

/** The shell, unshare(1) and the engine's runtime wait for the format's processes as the shim would. */
const standIns = /^(sh|dash|unshare|tsbox.*)$/;

/** `started`: the process that the suite has started, with its descendants. */
function memoryOf(started: number, inside: readonly number[]): number {
  const beside: number[] = [];
  for (const ahead = [started]; ahead.length > 0; ) {
    const pid = ahead.pop() ?? 0;
    ahead.push(...read(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number));
    if (!inside.includes(pid) && !standIns.test(read(`/proc/${pid}/comm`).trim())) beside.push(pid);
  }
  const proportional = (pid: number): number => Number(/^Pss:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
  return [...inside, ...beside].reduce((sum, pid) => sum + proportional(pid), 0);
}

/** Empty: the process has ended. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The pid of the process that is the first in its pid namespace. */
function firstProcess(bundle: ExecSubjectBundle): number {
  const first = processes(bundle).find((pid) => /^NSpid:.*\s1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8")));
  if (first === undefined) throw fail("NotFound", "no first process is in the container's cgroup");
  return first;
}

/** The pids of all processes in its cgroup, in any hierarchy. */
function processes({ spec }: ExecSubjectBundle): readonly number[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const lists = mounts
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => join(line.split(" ")[4] ?? "", spec.linux?.cgroupsPath ?? "", "cgroup.procs"));
  const pids = lists.filter(existsSync).flatMap((path) => readFileSync(path, "utf8").split("\n").filter(Boolean).map(Number));
  return [...new Set(pids)];
}

async function networkNamespace(): Promise<{ readonly path: string; end(): Promise<void> }> {
  const keeper = spawn("unshare", ["--net", "sh", "-c", "echo made; exec sleep infinity"], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<void>((resolve) => keeper.on("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    keeper.stdout.once("data", () => resolve());
    keeper.once("close", (code) => reject(fail("Unavailable", `unshare --net exited with ${code}`)));
  });
  return {
    path: `/proc/${keeper.pid}/ns/net`,
    end: async () => {
      keeper.kill("SIGKILL");
      await ended;
    },
  };
}

function files(base: string, without: readonly string[]): readonly string[] {
  return readdirSync(base, { recursive: true, encoding: "utf8" })
    .map((name) => join(base, name))
    .filter((path) => !without.some((each) => path === each || path.startsWith(`${each}/`)))
    .map((path) => {
      const { mode, size, mtimeMs } = lstatSync(path);
      return `${path} ${mode} ${size} ${mtimeMs}`;
    })
    .sort();
}

const cgroupPrefix = (base: string): string => `tsbox-${basename(base)}`;

function onHost(base: string): readonly string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const hierarchies = mounts.filter((line) => / - cgroup2? /.test(line)).flatMap((line) => line.split(" ")[4] ?? []);
  const cgroups = hierarchies.flatMap((path) => readdirSync(path).map((name) => join(path, name)));
  return [...mounts.filter((line) => line.includes(base)), ...cgroups.filter((path) => path.includes(cgroupPrefix(base)))];
}
