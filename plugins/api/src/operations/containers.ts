/** Docker's container operations. */
import { type ApiService, type Call, type Container, type ContainersService, fail, isTsboxError, signalNumber } from "@tsbox/kernel";
import { parseCreate } from "./create-body.ts";
import { attributesOf, logFrames } from "./log-frames.ts";
import { inspectContainer } from "./show.ts";
import { parseMoment } from "./times.ts";

type ContainerVerbs = Pick<
  ApiService,
  | "containerCreate"
  | "containerStart"
  | "containerStop"
  | "containerRestart"
  | "containerKill"
  | "containerPause"
  | "containerUnpause"
  | "containerRename"
  | "containerResize"
  | "containerWait"
  | "containerRemove"
  | "containerInspect"
  | "containerLogs"
>;

export function containerVerbs(containers: ContainersService): ContainerVerbs {
  const find = (call: Call, id: string): Promise<Container> => containers.get(call, id);
  return {
    containerCreate: async (call, body, { name, platform, starting }) => {
      const config = parseCreate(body, platform || null, containers.userns);
      const record = await containers.create(call, name ?? null, config, { starting });
      return { Id: record.id, Warnings: record.warnings };
    },
    containerStart: async (call, id, { client, size }) => {
      const record = await find(call, id);
      const attached = { ...(client ? { client: { ...client, size: size ?? null } } : {}), ...(size ? { size } : {}) };
      try {
        return { started: true, ...(await containers.start(call, record.id, attached)) };
      } catch (error) {
        if (isTsboxError(error) && error.reason === "containers/already-running") return { started: false, timings: [], warnings: [] };
        throw error;
      }
    },
    containerStop: async (call, id, options) => ({ stopped: await stop(containers, call, await find(call, id), options) }),
    containerRestart: async (call, id, options) => {
      const record = await find(call, id);
      await containers.restart(call, record.id, stopOptions(options));
    },
    containerKill: async (call, id, signal) => containers.kill(call, (await find(call, id)).id, signalNumber(signal || "SIGKILL")),
    containerPause: async (call, id) => containers.pause(call, (await find(call, id)).id),
    containerUnpause: async (call, id) => containers.resume(call, (await find(call, id)).id),
    containerRename: async (call, id, name) => {
      if (name === "") throw fail("InvalidArgument", "Neither old nor new names may be empty");
      await containers.rename(call, (await find(call, id)).id, name);
    },
    containerResize: async (call, id, rows, columns) => containers.resize(call, (await find(call, id)).id, { rows, columns }),
    containerWait: async (call, id, condition) => {
      if (condition !== "" && condition !== "not-running" && condition !== "next-exit" && condition !== "removed")
        throw fail("InvalidArgument", `invalid condition: "${condition}"`);
      const status = await containers.wait(call, (await find(call, id)).id, condition === "" ? "not-running" : condition);
      return { StatusCode: status.code, Error: null };
    },
    containerRemove: async (call, id, options) => containers.remove(call, (await find(call, id)).id, options),
    containerInspect: async (call, id) => {
      const record = await find(call, id);
      return inspectContainer(record, {}, await containers.execList(call, record.id));
    },
    containerLogs: async (call, id, options) => {
      const record = await find(call, id);
      if (!options.stdout && !options.stderr) throw fail("InvalidArgument", "Bad parameters: you must choose at least one stream");
      const parts = await containers.logs(call, record.id, {
        follow: options.follow ?? false,
        stdout: options.stdout ?? false,
        stderr: options.stderr ?? false,
        ...(options.since ? { since: parseMoment(options.since) } : {}),
        ...(options.until ? { until: parseMoment(options.until) } : {}),
        ...tailOf(options.tail),
      });
      const bare = record.config.terminal;
      const attributes = options.details ? attributesOf(record.config) : null;
      return { terminal: bare, frames: logFrames(parts, { bare, timestamps: options.timestamps ?? false, attributes }) };
    },
  };
}

const stopOptions = (options: {
  timeout?: number | undefined;
  signal?: string | undefined;
}): { readonly timeout?: number; readonly signal?: number } => ({
  ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
  ...(options.signal ? { signal: signalNumber(options.signal) } : {}),
});

async function stop(
  containers: ContainersService,
  call: Call,
  record: Container,
  options: { timeout?: number | undefined; signal?: string | undefined },
): Promise<boolean> {
  try {
    await containers.stop(call, record.id, stopOptions(options));
    return true;
  } catch (error) {
    if (isTsboxError(error) && error.reason === "containers/not-running") return false;
    throw error;
  }
}

/** As in Docker, a tail that is not a number means all lines. */
function tailOf(text: string | undefined): { readonly tail?: number } {
  return text !== undefined && /^\d+$/.test(text) ? { tail: Number(text) } : {};
}
