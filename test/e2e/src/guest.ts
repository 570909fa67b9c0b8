/** A guest kernel for cases that this host's own can't show: the host's root under a layer, a directory in both, one command. */
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { home, type Ran } from "./engine.ts";

export type Guest = "uml" | "qemu";

const program = (guest: Guest): string => join(home, "test", "vm", `${guest}-run`);

/** Why there is no such guest here, or null; fetches its kernel where that has not been done. */
export function whyNoGuest(guest: Guest): string | null {
  const { status, stderr } = spawnSync(program(guest), ["--fetch"], { encoding: "utf8" });
  return status === 0 ? null : stderr.trim() || `${program(guest)} --fetch exited with ${status}`;
}

/** Boots, runs a bash script as root, powers off. `share` is /vmshare inside; what it printed comes as `stdout`. */
export function inGuest(guest: Guest, share: string, script: string, seconds: number): Promise<Ran> {
  const child = spawn(program(guest), [share, script], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, LIMIT: String(seconds) },
  });
  const output = ["", ""];
  for (const [at, stream] of [child.stdout, child.stderr].entries()) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output[at] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 255, stdout: output[0] ?? "", stderr: output[1] ?? "" }));
  });
}

/** A word for a shell, whatever is in it. */
export const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
