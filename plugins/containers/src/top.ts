/** The table of a container's processes, as the host's `ps` prints it. */
import { type Call, type CommandResult, type ContainerId, fail, type ProcessTable } from "@tsbox/kernel";
import { refuseIdle } from "./decide.ts";
import type { Engine } from "./engine.ts";

export async function top(
  engine: Pick<Engine, "host" | "records" | "shims">,
  call: Call,
  id: ContainerId,
  psArguments: readonly string[],
): Promise<ProcessTable> {
  const record = engine.records.byId(id);
  refuseIdle(record);
  if (psArguments.some((word) => word.includes("\0"))) throw fail("InvalidArgument", "invalid ps_args: they have a zero byte");
  refuseRenamedPid(psArguments);
  const pids = new Set(await engine.shims.container(record).pids(call));
  const run = (argv: readonly string[]): Promise<CommandResult> =>
    engine.host.run(call, {
      argv: ["ps", ...argv],
      environment: { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C" },
      workingDirectory: "/",
    });
  // A ps that takes a list of pids need not read all other processes.
  let ran = await run([...psArguments, `-q${[...pids].join(",")}`]);
  if (ran.exitCode !== 0) ran = await run(psArguments);
  if (ran.exitCode !== 0)
    throw fail("InvalidArgument", `ps: ${Buffer.from(ran.stderr).toString().trim().split("\n")[0] || `exit code ${ran.exitCode}`}`);
  return parsePs(Buffer.from(ran.stdout).toString(), pids);
}

/** Refuses a column that is titled PID and holds something else: it would show the host's processes. */
function refuseRenamedPid(psArguments: readonly string[]): void {
  for (const [, name = "", title = ""] of ` ${psArguments.join(" ")}`.matchAll(/\s(\S*)=\s*(PID\S*)/g))
    if (name !== "pid") throw fail("InvalidArgument", `specifying "${name}=${title}" is not allowed`);
}

/** The rows of the container's processes; the last column holds the rest of its line. */
export function parsePs(text: string, pids: ReadonlySet<number>): ProcessTable {
  const [head = "", ...lines] = text.split("\n");
  const titles = head.trim().split(/\s+/);
  const column = titles.indexOf("PID");
  if (column < 0) throw fail("InvalidArgument", "Couldn't find PID field in ps output");
  const processes = lines
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => pids.has(Number(fields[column])))
    .map((fields) => [...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(" ")]);
  return { titles, processes };
}
