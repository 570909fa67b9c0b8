/** What the engine asks of a container's format, its exec driver, besides plans: why a start failed, and to forget what has ended. */
import {
  asError,
  type Call,
  type Container,
  type ContainerId,
  type ExecDriver,
  type ExecLaunch,
  type ExitStatus,
  fail,
  isTsboxError,
  type Launch,
  supports,
} from "@tsbox/kernel";
import { runs } from "./decide.ts";
import type { Drivers, Engine, Turns } from "./engine.ts";
import { readTemplate } from "./spec/exec-process.ts";

/** The format's own words about a failure of its commands, in place of the shim's; any other failure unchanged. */
export async function explained(call: Call, driver: ExecDriver, launch: Launch | ExecLaunch, error: unknown): Promise<unknown> {
  const byCommand = isTsboxError(error) && error.stage === "command";
  if (!byCommand || launch.kind !== "command" || launch.report === null || !supports(driver, "explain")) return error;
  try {
    const said = await driver.explain(call, launch.report);
    return "exitCode" in said ? error : fail(said.code, said.message, { cause: error });
  } catch (thrown) {
    call.log.warn(`the format can't explain a failure: ${asError(thrown).message}`);
    return error;
  }
}

/** The exit status, with the code that the format knows if the kernel has told none. */
export async function known(
  engine: Pick<Engine, "exec" | "records">,
  call: Call,
  { id, drivers }: Pick<Container, "id" | "drivers">,
  status: ExitStatus,
): Promise<ExitStatus> {
  if (status.unknown !== true) return status;
  const { unknown: _, ...plain } = status;
  try {
    const driver = await engine.exec(drivers.exec);
    const { report } = readTemplate(engine.records.directory(id));
    if (report === null || !supports(driver, "explain")) return plain;
    const said = await driver.explain(call, report);
    if (!("exitCode" in said)) return plain;
    return { ...plain, code: said.exitCode, signal: said.exitCode > 128 ? said.exitCode - 128 : null };
  } catch (error) {
    call.log.warn(`the format does not know how container ${id.slice(0, 12)} ended: ${asError(error).message}`);
    return plain;
  }
}

/** The container's process has ended, or its start has failed. */
export async function forgetEnd(
  engine: Pick<Engine, "exec">,
  call: Call,
  { id, drivers }: Pick<Container, "id" | "drivers">,
): Promise<void> {
  const driver = await engine.exec(drivers.exec);
  if (supports(driver, "ended")) await driver.ended(call, id);
}

/** Ends what the format still has of containers that do not run: a daemon was killed before it could. */
export async function endStrangers(
  engine: Pick<Drivers, "exec"> & Turns & Pick<Engine, "records">,
  call: Call,
  driver: ExecDriver,
): Promise<void> {
  const runsHere = (id: ContainerId): boolean => engine.records.has(id) && runs(engine.records.byId(id));
  for await (const id of await driver.list(call)) {
    if (runsHere(id)) continue;
    // A start holds the lock until its container runs.
    await engine.locks.run(
      id,
      async () => {
        if (runsHere(id)) return;
        call.log.warn(`the format of container ${id} still knows it: it is ended`);
        await driver.delete(call, id);
      },
      Number.POSITIVE_INFINITY,
    );
  }
}
