/** Memory use of the engine's own processes. */
import { execFileSync } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { run } from "./measure.ts";
import { memory, type Peer } from "./peers.ts";

/** The memory that one more idle container adds to the engine's own processes. */
export async function idle(name: string, peer: Peer, command: string): Promise<void> {
  const many = 30;
  const start = (): void => run(command, ["run", "-d", "bb:1", "sleep", "1000"], peer.environment);
  const removeAll = (): void => {
    const ids = execFileSync(command, ["ps", "-aq"], { encoding: "utf8", env: peer.environment }).trim().split("\n");
    run(command, ["rm", "-f", ...ids], peer.environment);
  };
  // Memory that the engine allocates at first use does not belong to one container.
  for (let at = 0; at < many; at += 1) start();
  removeAll();
  start();
  const weigh = async (): Promise<number> => {
    await pause(2000);
    peer.collect();
    await pause(1000);
    return memory(peer.pids());
  };
  const before = await weigh();
  for (let at = 0; at < many; at += 1) start();
  const after = await weigh();
  process.stdout.write(
    `  ${name.padEnd(10)} ${((after - before) / many).toFixed(0).padStart(8)} KiB a container; the engine itself with one: ${(before / 1024).toFixed(1)} MiB\n`,
  );
  removeAll();
}
