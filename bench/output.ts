/** Large output: a gigabyte to an attached client, a million lines to the log and back. */
import { execFileSync } from "node:child_process";
import { type Contest, compare } from "./measure.ts";
import { type Peer, tsbox } from "./peers.ts";

const gigabyte = ["run", "--rm", "bb:1", "dd", "if=/dev/zero", "bs=1M", "count=1024"];
const lines = ["run", "-d", "bb:1", "seq", "1000000"];

function words(command: string, args: readonly string[], peer: Peer): string {
  return execFileSync(command, args as string[], { env: peer.environment, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
}

function through(command: string, peer: Peer): number {
  const begun = performance.now();
  const count = execFileSync("bash", ["-c", '"$@" 2>/dev/null | wc -c', "_", command, ...gigabyte], {
    env: peer.environment,
    encoding: "utf8",
  });
  if (Number(count) !== 1 << 30) throw new Error(`${command}: ${count.trim()} bytes of a gigabyte`);
  return performance.now() - begun;
}

/** A container without a client writes the log, which is then read. Both use json-file without a size limit, so the work is the same. */
function logged(command: string, peer: Peer): number {
  // Write earlier data to disk first, so that it does not count: dockerd logs a gigabyte of zeros as six.
  execFileSync("sync");
  const begun = performance.now();
  const id = words(command, [lines[0] ?? "", "--log-driver", "json-file", "--log-opt", "max-size=1g", ...lines.slice(1)], peer);
  words(command, ["wait", id], peer);
  const count = execFileSync("bash", ["-c", '"$@" 2>/dev/null | wc -l', "_", command, "logs", id], {
    env: peer.environment,
    encoding: "utf8",
  });
  if (Number(count) !== 1_000_000) throw new Error(`${command}: ${count.trim()} lines of a million`);
  const took = performance.now() - begun;
  words(command, ["rm", id], peer);
  return took;
}

export async function output(ours: Peer, docker: Peer | null): Promise<void> {
  const contests = (work: (command: string, peer: Peer) => number): readonly Contest[] => [
    { name: "tsbox", work: () => work(tsbox, ours) },
    ...(docker ? [{ name: "docker", work: () => work("docker", docker) }] : []),
  ];
  await compare("a gigabyte of attached output", contests(through), 1, { docker: 20 }, false);
  await compare("a million lines into the log, and out again", contests(logged), 5, { docker: 8 }, false);
}
