/**
 * A world of real containers. It plays the engine's shim: mounts the root in a mount namespace of its own and carries the launch out there, a spec by the engine's
 * runtime from its command line, a command as it stands. Their root is an overlay over a directory with busybox and little else.
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
import { type Call, createCall, type ExecDriver, fail, type OciSpec, parseContainerId, silentLog } from "@tsbox/kernel";
import { launchWords, outcomeOf, type Place } from "./launches.ts";
import type { Ended, ExecSubjectBundle, ExecWorld } from "./world.ts";

export interface ExecSubject {
  /** Opens the driver over a directory of its own. */
  open(directory: string): Promise<{ readonly driver: ExecDriver; close(): Promise<void> }>;
  /** Where containers' roots lie: a file system that an overlay's upper directory may lie on. */
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
/** A container that never ends is a broken one, and is ended. */
const patience = 30_000;

/** Why no container can be started on this host, or null. */
export function whyNoExecWorld(): string | null {
  if (process.geteuid?.() !== 0) return "needs root";
  if (!existsSync(busybox)) return "needs busybox: apt-get install busybox-static";
  return findRuntime() === null ? "needs tsbox-runtime: scripts/setup builds it" : null;
}

/** Of the checkout that this file lies in, else of PATH. */
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
    run: (bundle, input = "") => run(call, driver, bundle, placeOf(bundle), input),
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
    // One directory, so that nothing of it is left above the container's.
    spec: { ...spec, linux: { ...spec.linux, cgroupsPath: `/${cgroupPrefix(base)}-${id.slice(0, 8)}` } },
    rootfs: [{ type: "overlay", source: "overlay", target: null, options }],
    changes: at("upper"),
  };
}

async function run(call: Call, driver: ExecDriver, bundle: ExecSubjectBundle, place: Place, input: string): Promise<Ended> {
  try {
    const launch = await driver.plan(call, bundle);
    const ended = await execute(launchWords(launch, bundle, place), input);
    return await outcomeOf(call, driver, launch, place, ended);
  } finally {
    await driver.delete(call, bundle.id);
    // What a broken driver or a container without an end has left.
    if (existsSync(join(place.state, bundle.id))) spawnSync(place.runtime, ["--root", place.state, "delete", "--force", bundle.id]);
  }
}

function execute([program = "", ...words]: readonly string[], input: string): Promise<Ended> {
  const child = spawn(program, words, { stdio: ["pipe", "pipe", "pipe"], env: { PATH: process.env.PATH ?? "" } });
  const output = ["", ""];
  for (const [at, stream] of [child.stdout, child.stderr].entries()) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output[at] += text;
    });
  }
  // A process that does not read its input may end before all of it was written.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const timer = setTimeout(() => child.kill("SIGKILL"), patience);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal === null) resolve({ code: code ?? 255, stdout: output[0] ?? "", stderr: output[1] ?? "" });
      else reject(fail("DeadlineExceeded", `the container had not ended after ${patience / 1000} s`));
    });
  });
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
