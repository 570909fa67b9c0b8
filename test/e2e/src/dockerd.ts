/** Debian's dockerd for comparison: in its own network and mount namespaces, ended with the case. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Case } from "@tsbox/harness";
import { until } from "./engine.ts";

/** The reason why there is no dockerd to compare with, or null. */
export function needsDockerd(): string | null {
  if (existsSync("/usr/sbin/dockerd") && spawnSync("docker", ["--version"]).status === 0) return null;
  return "not installed: docker.io (scripts/packages installs it)";
}

/** Runs docker's client against dockerd, and returns its standard output. */
export type Docker = (argv: readonly string[], input?: Buffer) => Buffer;

export async function dockerd(test: Case): Promise<Docker> {
  const { environment } = await dockerdSocket(test);
  return (argv, input) =>
    execFileSync("docker", argv as string[], {
      env: environment,
      maxBuffer: 1 << 28,
      stdio: ["pipe", "pipe", "pipe"],
      ...(input ? { input } : {}),
    });
}

export interface DockerSocket {
  readonly socket: string;
  readonly environment: NodeJS.ProcessEnv;
}

export async function dockerdSocket(test: Case): Promise<DockerSocket> {
  const base = mkdtempSync("/var/lib/tsbox-test-docker-");
  test.cleanup(() => rmSync(base, { recursive: true, force: true }));
  const socket = join(base, "docker.sock");
  const flags = [
    "--data-root",
    `${base}/data`,
    "--exec-root",
    `${base}/exec`,
    "-p",
    `${base}/pid`,
    "-H",
    `unix://${socket}`,
    "--cgroup-parent",
    cgroups,
  ];
  const start = `ip link set lo up; exec dockerd ${flags.join(" ")} >${base}/log 2>&1`;
  const daemon = spawn("unshare", ["-n", "-m", "--propagation", "private", "sh", "-c", start], { stdio: "ignore" });
  const ended = new Promise((resolve) => daemon.once("exit", resolve));
  test.cleanup(async () => {
    daemon.kill("SIGTERM");
    await ended;
    sweepCgroups();
  });
  const environment = { PATH: process.env.PATH ?? "", HOME: base, DOCKER_HOST: `unix://${socket}` };
  await until(
    () => {
      if (daemon.exitCode !== null) throw new Error(`dockerd ended: ${readFileSync(`${base}/log`, "utf8").slice(-500)}`);
      return spawnSync("docker", ["version"], { env: environment, stdio: "ignore" }).status === 0;
    },
    "dockerd",
    60_000,
  );
  return { socket, environment };
}

/** Unique to this process: other test files run their own dockerd at the same time. */
const cgroups = `tsbox-test-docker-${process.pid}`;

/** runc leaves the parent cgroup behind, below the root of a hierarchy or below this process's own cgroup. */
function sweepCgroups(): void {
  const own = readFileSync("/proc/self/cgroup", "utf8")
    .split("\n")
    .map((line) => line.split(":")[2] ?? "/");
  for (const controller of readdirSync("/sys/fs/cgroup"))
    for (const above of new Set(["/", ...own]))
      try {
        rmdirSync(join("/sys/fs/cgroup", controller, above, cgroups));
      } catch {
        // The directory does not exist, or is no hierarchy.
      }
}
