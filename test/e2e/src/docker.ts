/** Docker's own command line against the engine, unchanged. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Engine, Ran } from "./engine.ts";

const path = ["/usr/local/bin/docker", "/usr/bin/docker"].find(existsSync) ?? "";

/** `reason`: why there is no docker client, or null. */
export const docker: { readonly path: string; readonly reason: string | null } = {
  path,
  reason: path === "" ? "no docker client is installed (scripts/packages installs one)" : null,
};

export function dockerClient(own: Engine, argv: readonly string[], input = ""): Promise<Ran> {
  const child = spawn(path, argv as string[], {
    env: { PATH: process.env.PATH ?? "", HOME: own.state, DOCKER_HOST: `unix://${own.socket}` },
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code: code ?? 1, stdout, stderr })));
}
