/** Cases that change the host's links and rules: they run in a network namespace of their own. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** Runs a file of cases in a new network namespace, and takes over its exit code. Without root it runs as it is, and skips its cases. */
export function inOwnNetwork(directory: string, file: string): void {
  const cases = [process.execPath, ...process.execArgv, join(directory, file)];
  const command = process.getuid?.() === 0 ? ["unshare", "--net", ...cases] : cases;
  const ended = spawnSync(command[0] ?? "", command.slice(1), { stdio: "inherit" });
  if (ended.error) throw ended.error;
  process.exitCode = ended.status ?? 1;
}
