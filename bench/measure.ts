/** Timing and reporting of contests: alternating runs (A B A B …), medians and p90 in milliseconds. */
import { execFileSync, spawnSync } from "node:child_process";

export const run = (command: string, args: readonly string[], environment: NodeJS.ProcessEnv = process.env): void => {
  const ran = spawnSync(command, args as string[], {
    env: environment,
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
    maxBuffer: 1 << 28,
  });
  if (ran.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${ran.stderr}`);
};

/** `work` may return milliseconds that it has measured itself; otherwise the call is timed. */
export interface Contest {
  readonly name: string;
  readonly work: () => unknown;
}

/** Times a command from bash, which forks in a fraction of the time of a fork of Node, which would add to the time of each contestant. */
export function timed(command: string, args: readonly string[], environment: NodeJS.ProcessEnv = process.env): number {
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

export interface Goals {
  readonly [peer: string]: number;
}

/** `warm`: each contestant runs once before the measurement. */
export async function compare(title: string, contests: readonly Contest[], count: number, goal: Goals, warm = true): Promise<void> {
  const times = contests.map((): number[] => []);
  if (warm) for (const contest of contests) await contest.work();
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
