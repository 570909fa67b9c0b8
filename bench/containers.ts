/** Starting, entering and listing containers. */
import { execFileSync } from "node:child_process";
import { type Contest, compare, run, timed } from "./measure.ts";
import { type Bundle, type Peer, tsbox } from "./peers.ts";

const start = ["run", "--rm", "bb:1", "true"];

/** Runs with xargs, since a fork of Node takes a large part of the time of a run. */
const eightAtATime = (command: string, args: readonly string[], environment: NodeJS.ProcessEnv): number =>
  timed("sh", ["-c", 'seq 32 | xargs -P 8 -I@ "$@"', "sh", command, ...args], environment);

/** If `bundle` is null, runc is not installed. */
export async function containers(bundle: Bundle | null, ours: Peer, docker: Peer | null, runs: number): Promise<void> {
  const contests = (work: (command: string, peer: Peer) => unknown): readonly Contest[] => [
    { name: "tsbox", work: () => work(tsbox, ours) },
    ...(docker ? [{ name: "docker", work: () => work("docker", docker) }] : []),
  ];
  const [own, ...peers] = contests((command, { environment }) => timed(command, start, environment));
  let number = 0;
  const runc = ({ state, path }: Bundle): number => timed("runc", ["--root", state, "run", "--bundle", path, `bench-${number++}`]);
  await compare(
    "run --rm of true with a network (whole client process)",
    [...(own ? [own] : []), ...(bundle ? [{ name: "runc", work: () => runc(bundle) }] : []), ...peers],
    runs,
    { docker: 20, runc: 2 },
  );
  await compare(
    "32 runs, 8 at a time",
    contests((command, { environment }) => eightAtATime(command, start, environment)),
    5,
    { docker: 20 },
  );
  await compare(
    "run -d of sleep (until the container runs)",
    contests((command, { environment }) => timed(command, ["run", "-d", "bb:1", "sleep", "1000"], environment)),
    Math.ceil(runs / 2),
    { docker: 15 },
  );
  await empty(ours, docker);

  const everybody = contests((command, { environment }) =>
    run(command, ["run", "-d", "--name", "entered", "bb:1", "sleep", "1000"], environment),
  );
  for (const { work } of everybody) await work();
  await compare(
    "exec of true",
    contests((command, { environment }) => timed(command, ["exec", "entered", "true"], environment)),
    runs,
    { docker: 15 },
  );
  await empty(ours, docker);

  await compare(
    "ps",
    contests((command, { environment }) => timed(command, ["ps"], environment)),
    runs,
    { docker: 4 },
  );
  for (let at = 0; at < 1000; at += 1) run(tsbox, ["create", "bb:1", "true"], ours.environment);
  await compare(
    "ps -a with 1,000 stopped containers (goal 30 ms)",
    [{ name: "tsbox", work: () => timed(tsbox, ["ps", "-a"], ours.environment) }],
    runs,
    {},
  );
  await empty(ours, null);
}

/** Removes every container. */
async function empty(ours: Peer, docker: Peer | null): Promise<void> {
  for (const [command, peer] of [
    [tsbox, ours],
    ["docker", docker],
  ] as const) {
    if (peer === null) continue;
    const ids = execFileSync(command, ["ps", "-aq"], { encoding: "utf8", env: peer.environment }).trim().split("\n").filter(Boolean);
    if (ids.length > 0) run(command, ["rm", "-f", ...ids], peer.environment);
  }
}
