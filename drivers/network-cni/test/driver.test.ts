/** Runs driver.cases.ts in a new network namespace, so that no test changes the host's links. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const cases = [process.execPath, ...process.execArgv, join(import.meta.dirname, "driver.cases.ts")];
const command = process.getuid?.() === 0 ? ["unshare", "--net", ...cases] : cases;
const ended = spawnSync(command[0] ?? "", command.slice(1), { stdio: "inherit" });
if (ended.error) throw ended.error;
process.exitCode = ended.status ?? 1;
