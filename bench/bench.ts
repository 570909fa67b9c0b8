/**
 * Ratios against dockerd and runc on this host, in one run: `node --conditions=tsbox-source bench/bench.ts [--runs N]`, as root, after scripts/setup and scripts/packages.
 * Commands are timed as whole processes, in turn (A B A B …); medians and p90 in milliseconds. Compare, don't quote: hosts differ and are noisy.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { home, memory, type Peer, runcBundle, startDocker, startTsbox, tsbox } from "./peers.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "40" } } });
const runs = Number(values.runs);
const directory = mkdtempSync("/var/lib/tsbox-bench-");
const run = (command: string, args: readonly string[], environment: NodeJS.ProcessEnv = process.env): void => {
  const ran = spawnSync(command, args as string[], {
    env: environment,
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
    maxBuffer: 1 << 28,
  });
  if (ran.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${ran.stderr}`);
};

/** Answers milliseconds where it has measured them itself; else it is timed from outside. */
interface Contest {
  readonly name: string;
  readonly work: () => unknown;
}

/** A command as a shell sees it: bash forks in a fraction of what a fork of Node costs, which would count for every contestant alike. */
function timed(command: string, args: readonly string[], environment: NodeJS.ProcessEnv = process.env): number {
  const script = 's=$EPOCHREALTIME; "$@" >/dev/null 2>&1; c=$?; echo "$s $EPOCHREALTIME $c"';
  const [begun = "", ended = "", code = ""] = execFileSync("bash", ["-c", script, "_", command, ...args], {
    env: environment,
    encoding: "utf8",
  })
    .trim()
    .split(" ");
  if (code !== "0") throw new Error(`${command} ${args.join(" ")} exited ${code}`);
  return (Number(ended) - Number(begun)) * 1000;
}
const sorted = (list: readonly number[]): readonly number[] => [...list].sort((a, b) => a - b);
const median = (list: readonly number[]): number => sorted(list)[list.length >> 1] ?? Number.NaN;
const p90 = (list: readonly number[]): number => sorted(list)[Math.floor(list.length * 0.9)] ?? Number.NaN;

async function compare(title: string, contests: readonly Contest[], count: number, goal: Readonly<Record<string, number>>): Promise<void> {
  const times = contests.map((): number[] => []);
  for (const contest of contests) await contest.work();
  for (let at = 0; at < count; at += 1)
    for (const [which, contest] of contests.entries()) {
      const begun = performance.now();
      const own = await contest.work();
      times[which]?.push(typeof own === "number" ? own : performance.now() - begun);
    }
  process.stdout.write(`\n${title}\n`);
  const [first = []] = times;
  for (const [which, contest] of contests.entries()) {
    const list = times[which] ?? [];
    const ratio =
      which === 0
        ? ""
        : `  ${(median(list) / median(first)).toFixed(1)}x${goal[contest.name] === undefined ? "" : ` (goal ${goal[contest.name]}x)`}`;
    process.stdout.write(
      `  ${contest.name.padEnd(10)} median ${median(list).toFixed(1).padStart(8)} ms  p90 ${p90(list).toFixed(1).padStart(8)} ms${ratio}\n`,
    );
  }
}

/** busybox-static as a root and as an archive that both engines load. */
function images(): { readonly rootfs: string; readonly archive: string } {
  const [layout, bundle, archive] = ["layout", "image", "bb.tar"].map((name) => join(directory, name)) as [string, string, string];
  run("umoci", ["init", "--layout", layout]);
  run("umoci", ["new", "--image", `${layout}:bb`]);
  run("umoci", ["unpack", "--image", `${layout}:bb`, bundle]);
  const rootfs = join(bundle, "rootfs");
  for (const folder of ["bin", "proc", "sys", "dev", "etc"]) mkdirSync(join(rootfs, folder), { recursive: true });
  run("cp", ["/bin/busybox", join(rootfs, "bin/busybox")]);
  for (const applet of ["sh", "true", "sleep", "cat", "echo", "dd"]) run("ln", ["-sf", "busybox", join(rootfs, "bin", applet)]);
  run("umoci", ["repack", "--image", `${layout}:bb`, bundle]);
  run("skopeo", ["copy", "--quiet", `oci:${layout}:bb`, `docker-archive:${archive}:bb:1`]);
  return { rootfs, archive };
}

async function eightAtATime(command: string, args: readonly string[], environment: NodeJS.ProcessEnv): Promise<void> {
  let left = 32;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await new Promise((resolve) => spawn(command, args as string[], { env: environment, stdio: "ignore" }).on("exit", resolve));
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

/** Pulls that count; one goes before. */
const pulled = 3;

/** What one more idle container costs the engine's own processes. */
async function idle(name: string, peer: Peer, command: string): Promise<void> {
  const many = 30;
  run(command, ["run", "-d", "bb:1", "sleep", "1000"], peer.environment);
  const weigh = async (): Promise<number> => {
    await pause(2000);
    peer.collect();
    await pause(1000);
    return memory(peer.pids());
  };
  const before = await weigh();
  for (let at = 0; at < many; at += 1) run(command, ["run", "-d", "bb:1", "sleep", "1000"], peer.environment);
  const after = await weigh();
  process.stdout.write(
    `  ${name.padEnd(10)} ${((after - before) / many).toFixed(0).padStart(8)} KiB a container; the engine itself with one: ${(before / 1024).toFixed(1)} MiB\n`,
  );
  const ids = execFileSync(command, ["ps", "-aq"], { encoding: "utf8", env: peer.environment }).trim().split("\n");
  run(command, ["rm", "-f", ...ids], peer.environment);
}

/**
 * Pull and unpack of the Debian that the tests make, from a registry on loopback that both reach. Each pull is of another image: ext4 is slow to create files for
 * minutes after it has deleted many, so nothing is removed between two.
 */
async function pulls(ours: Peer, docker: Peer | null): Promise<void> {
  const layout = join(home, ".cache/debian-layout");
  if (!existsSync(layout)) {
    process.stdout.write("\npull and unpack: skipped, since no Debian image is here: run test/e2e/cases/images.test.ts once\n");
    return;
  }
  const serve = (address: string, inside: readonly string[]): void => {
    const config = join(directory, `registry-${inside.length}.yml`);
    writeFileSync(
      config,
      JSON.stringify({ version: "0.1", storage: { filesystem: { rootdirectory: join(directory, "registry") } }, http: { addr: address } }),
    );
    const server = spawn(
      inside[0] ?? "docker-registry",
      [...inside.slice(1), ...(inside.length > 0 ? ["docker-registry"] : []), "serve", config],
      { stdio: "ignore" },
    );
    servers.push(() => server.kill("SIGKILL"));
  };
  const servers: (() => void)[] = [];
  const address = "127.0.0.1:5871";
  serve(address, []);
  const dockerd = docker?.pids().find((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("dockerd"));
  // dockerd lives in a network namespace of its own: the same registry listens there too.
  if (dockerd !== undefined) serve(address, ["nsenter", "-t", String(dockerd), "-n"]);
  try {
    await pause(1000);
    const [copy, bundle] = [join(directory, "variants"), join(directory, "variant")];
    run("umoci", ["init", "--layout", copy]);
    run("umoci", ["unpack", "--image", `${layout}:12`, bundle]);
    const tree = join(bundle, "rootfs");
    for (let at = 0; at <= pulled; at += 1) {
      const fresh = join(directory, `variant-${at}`);
      run("umoci", ["new", "--image", `${copy}:${at}`]);
      run("umoci", ["unpack", "--image", `${copy}:${at}`, fresh]);
      rmSync(join(fresh, "rootfs"), { recursive: true });
      renameSync(tree, join(fresh, "rootfs"));
      writeFileSync(join(fresh, "rootfs", "variant"), String(at));
      run("umoci", ["repack", "--image", `${copy}:${at}`, fresh]);
      renameSync(join(fresh, "rootfs"), tree);
      run("skopeo", ["copy", "--quiet", "--dest-tls-verify=false", `oci:${copy}:${at}`, `docker://${address}/debian:${at}`]);
    }
    execFileSync("sync");
    const contest = (name: string, command: string, peer: Peer): Contest => {
      let at = 0;
      return { name, work: () => timed(command, ["pull", "-q", `${address}/debian:${at++}`], peer.environment) };
    };
    const all = [contest("tsbox", tsbox, ours), ...(docker ? [contest("docker", "docker", docker)] : [])];
    await compare("pull and unpack of Debian", all, pulled, { docker: 2 });
  } finally {
    for (const stop of servers) stop();
  }
}

const stops: (() => Promise<void> | void)[] = [];
try {
  const { rootfs, archive } = images();
  const ours = await startTsbox(directory);
  stops.push(() => ours.stop());
  run(tsbox, ["load", "-i", archive], ours.environment);
  const docker = await startDocker(directory);
  if (docker) {
    stops.push(() => docker.stop());
    run("docker", ["load", "-i", archive], docker.environment);
  }
  const bundle = runcBundle(directory, rootfs);
  let number = 0;

  const start = ["run", "--rm", "bb:1", "true"];
  await compare(
    "run --rm of true with a network (whole client process)",
    [
      { name: "tsbox", work: () => timed(tsbox, start, ours.environment) },
      ...(bundle
        ? [{ name: "runc", work: () => timed("runc", ["--root", join(directory, "runc"), "run", "--bundle", bundle, `bench-${number++}`]) }]
        : []),
      ...(docker ? [{ name: "docker", work: () => timed("docker", start, docker.environment) }] : []),
    ],
    runs,
    { docker: 20, runc: 2 },
  );
  await compare(
    "32 runs, 8 at a time",
    [
      { name: "tsbox", work: () => eightAtATime(tsbox, start, ours.environment) },
      ...(docker ? [{ name: "docker", work: () => eightAtATime("docker", start, docker.environment) }] : []),
    ],
    3,
    { docker: 20 },
  );
  await compare(
    "ps",
    [
      { name: "tsbox", work: () => timed(tsbox, ["ps"], ours.environment) },
      ...(docker ? [{ name: "docker", work: () => timed("docker", ["ps"], docker.environment) }] : []),
    ],
    runs,
    { docker: 4 },
  );
  process.stdout.write("\nmemory of the engine's own processes for one more idle container (PSS, 30 of them; goal 100 KiB)\n");
  await idle("tsbox", ours, tsbox);
  if (docker) await idle("docker", docker, "docker");
  await pulls(ours, docker);
} finally {
  for (const stop of stops.reverse()) await stop();
  spawnSync("umount", ["-R", directory], { stdio: "ignore" });
  rmSync(directory, { recursive: true, force: true });
}
