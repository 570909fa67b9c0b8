/**
 * The same command line for three fronts: docker's client with dockerd, docker's client with our engine, and our own client. Their results
 * must be the same.
 */
import { spawnSync } from "node:child_process";
import type { Case } from "@tsbox/harness";
import { docker } from "./docker.ts";
import { type DockerSocket, dockerdSocket } from "./dockerd.ts";
import { binary, type Engine } from "./engine.ts";

export interface Answer {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}
export interface Front {
  readonly name: "docker" | "docker to tsbox" | "tsbox";
  readonly socket: string;
  run(argv: readonly string[], input?: Buffer): Answer;
  /** Fails unless the exit code is 0. */
  ok(argv: readonly string[], input?: Buffer): string;
}

function front(name: Front["name"], socket: string, program: string, environment: NodeJS.ProcessEnv): Front {
  const run: Front["run"] = (argv, input) => {
    const ran = spawnSync(program, argv as string[], { env: environment, maxBuffer: 1 << 30, input: input ?? "", timeout: 120_000 });
    return { code: ran.status ?? 255, stdout: ran.stdout, stderr: ran.stderr.toString() };
  };
  return {
    name,
    socket,
    run,
    ok: (argv, input) => {
      const { code, stdout, stderr } = run(argv, input);
      if (code !== 0) throw new Error(`${name}: ${argv.join(" ")} exited ${code}: ${stderr}`);
      return stdout.toString();
    },
  };
}

export function ourFronts(own: Engine): readonly Front[] {
  const environment = { PATH: process.env.PATH ?? "", HOME: own.state, DOCKER_HOST: `unix://${own.socket}` };
  return [front("docker to tsbox", own.socket, docker.path, environment), front("tsbox", own.socket, binary, { ...own.environment })];
}

export async function dockerFront(test: Case): Promise<Front> {
  const { socket, environment }: DockerSocket = await dockerdSocket(test);
  return front("docker", socket, docker.path, environment);
}
