/** Docker's container operations. */
import {
  type ApiService,
  type Call,
  type Container,
  type ContainersService,
  fail,
  isTsboxError,
  type Json,
  type LogLine,
  signalNumber,
} from "@tsbox/kernel";
import { parseCreate } from "./create-body.ts";
import { inspectContainer } from "./show.ts";
import { parseTime } from "./times.ts";

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
    containerCreate: async (call, body, { name, platform }) => {
      const record = await containers.create(call, name ?? null, parseCreate(body, platform || null));
      return { Id: record.id, Warnings: record.warnings };
    },
    containerStart: async (call, id, { client, size }) => {
      const record = await find(call, id);
      if (record.status === "paused") throw fail("FailedPrecondition", "cannot start a paused container, try unpause instead");
      if (record.status === "running" || record.status === "restarting") return { started: false, timings: [], warnings: [] };
      const { timings, warnings } = await containers.start(call, record.id, {
        ...(client ? { client: { ...client, size: size ?? null } } : {}),
        ...(size ? { size } : {}),
      });
      return { started: true, timings, warnings };
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
      const lines = await containers.logs(call, record.id, {
        follow: options.follow ?? false,
        stdout: options.stdout ?? false,
        stderr: options.stderr ?? false,
        ...(options.since ? { since: parseTime(options.since) } : {}),
        ...(options.until ? { until: parseTime(options.until) } : {}),
        ...(options.tail === undefined || options.tail === "all" || options.tail === "" ? {} : { tail: tailOf(options.tail) }),
      });
      const terminal = record.config.terminal;
      return { terminal, frames: frames(lines, terminal, options.timestamps ?? false, options.details ? record.config.labels : null) };
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
    if (isTsboxError(error) && error.code === "FailedPrecondition") return false;
    throw error;
  }
}

function tailOf(text: string): number {
  const count = Number(text);
  // As Docker: what is no number is all.
  return Number.isInteger(count) && count >= 0 ? count : Number.POSITIVE_INFINITY;
}

const batch = 32 << 10;

/** Lines in Docker's frames, many to a chunk. A follower gets each chunk when no further line is at hand. */
async function* frames(
  lines: AsyncIterable<LogLine>,
  bare: boolean,
  timestamps: boolean,
  details: Json | null,
): AsyncGenerator<Uint8Array> {
  const prefix =
    details === null
      ? ""
      : `${Object.entries(details)
          .map(([key, value]) => `${key}=${String(value)}`)
          .join(",")} `;
  let parts: Uint8Array[] = [];
  let length = 0;
  const iterator = lines[Symbol.asyncIterator]();
  try {
    let next = iterator.next();
    for (;;) {
      // A line that is at hand resolves before a timer of no length does; else what we have goes out now.
      const ready = length === 0 || length >= batch ? "flush" : await Promise.race([next.then(() => "line" as const), idle()]);
      if (ready === "flush" && length > 0) {
        yield Buffer.concat(parts);
        parts = [];
        length = 0;
      }
      const step = await next;
      if (step.done) break;
      next = iterator.next();
      const { line, stream, at } = step.value;
      const head = Buffer.from((timestamps ? `${timestamp(at)} ` : "") + prefix);
      if (!bare) {
        const header = Buffer.alloc(8);
        header[0] = stream === "stderr" ? 2 : 1;
        header.writeUInt32BE(head.length + line.length, 4);
        parts.push(header);
        length += 8;
      }
      parts.push(head, line);
      length += head.length + line.length;
    }
    if (length > 0) yield Buffer.concat(parts);
  } finally {
    await iterator.return?.(undefined);
  }
}

const idle = (): Promise<"flush"> => new Promise((resolve) => setImmediate(resolve, "flush" as const));

/** RFC 3339 with nanoseconds. */
function timestamp(nanoseconds: string): string {
  const whole = nanoseconds.padStart(10, "0");
  const seconds = Number(whole.slice(0, -9));
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${whole.slice(-9)}Z`;
}
