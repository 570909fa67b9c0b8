/** Commands for existing containers: ps, logs, rm, stop, kill, wait, start, restart, pause, unpause, rename, port. */
import { type ApiService, type Filters, isTsboxError, type TsboxError } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import type { Parsed } from "../flags.ts";
import type { Command, Io } from "../io.ts";
import { table } from "../table.ts";
import { compileTemplate } from "../template.ts";
import { count } from "../units.ts";
import { detachFlag, exitCode, signalProxyFlag, streamsOf } from "./sessions.ts";

/** Does the work for each name in turn. Each error is printed, and the command fails if there was one. */
export async function each(
  io: Io,
  names: readonly string[],
  work: (name: string) => Promise<void>,
  isFailure: (error: TsboxError) => boolean = () => true,
): Promise<number> {
  let failed = false;
  for (const name of names) {
    try {
      await work(name);
    } catch (error) {
      if (!isTsboxError(error)) throw error;
      failed ||= isFailure(error);
      await io.err(`tsbox: ${error.message}\n`);
    }
  }
  return failed ? 1 : 0;
}

const many = [1, Number.POSITIVE_INFINITY] as const;

/** A command that takes names and prints each one on success. `work` answers false to print nothing, or a number to print instead. */
function verb(
  name: string,
  about: string,
  flags: Command["flags"],
  work: (io: Io, api: ApiService, id: string, parsed: Parsed) => Promise<unknown>,
): Command {
  return {
    name,
    usage: `${name} ${Object.keys(flags).length > 0 ? "[OPTIONS] " : ""}CONTAINER [CONTAINER...]`,
    about,
    aliases: [`container ${name}`, ...(name === "rm" ? ["container remove"] : [])],
    flags,
    words: many,
    run: (io, api, parsed) =>
      each(io, parsed.words, async (id) => {
        const answer = await work(io, api, id, parsed);
        if (answer !== false) await io.out(`${typeof answer === "number" ? answer : id}\n`);
      }),
  };
}

const timeout = { short: "t", kind: "text", value: "int", help: "Seconds to wait before killing the container" } as const;
const signal = { short: "s", kind: "text", help: "Signal to send to the container" } as const;
const stopOptions = (parsed: Parsed): { timeout?: number; signal?: string } => ({
  ...((parsed.text("timeout") ?? parsed.text("time"))
    ? { timeout: count("timeout", parsed.text("timeout") ?? parsed.text("time") ?? "") }
    : {}),
  ...(parsed.text("signal") ? { signal: parsed.text("signal") ?? "" } : {}),
});

export const stop: Command = verb(
  "stop",
  "Stop one or more running containers",
  { timeout, time: { kind: "text", help: "As --timeout" }, signal },
  (io, api, id, parsed) => api.containerStop(io.call, id, stopOptions(parsed)),
);
export const restart: Command = verb(
  "restart",
  "Restart one or more containers",
  { timeout, time: { kind: "text", help: "As --timeout" }, signal },
  (io, api, id, parsed) => api.containerRestart(io.call, id, stopOptions(parsed)),
);
export const kill: Command = verb("kill", "Kill one or more running containers", { signal }, (io, api, id, parsed) =>
  api.containerKill(io.call, id, parsed.text("signal") ?? "SIGKILL"),
);
export const pause: Command = verb("pause", "Pause all processes within one or more containers", {}, (io, api, id) =>
  api.containerPause(io.call, id),
);
export const unpause: Command = verb("unpause", "Unpause all processes within one or more containers", {}, (io, api, id) =>
  api.containerUnpause(io.call, id),
);
export const wait: Command = verb(
  "wait",
  "Block until one or more containers stop, then print their exit codes",
  {},
  async (io, api, id) => (await api.containerWait(io.call, id, "not-running")).StatusCode,
);
export const start: Command = {
  name: "start",
  usage: "start [OPTIONS] CONTAINER [CONTAINER...]",
  about: "Start one or more stopped containers",
  aliases: ["container start"],
  flags: {
    attach: { short: "a", kind: "bool", help: "Attach STDOUT/STDERR and forward signals" },
    "detach-keys": detachFlag,
    interactive: { short: "i", kind: "bool", help: "Attach container's STDIN" },
    "sig-proxy": signalProxyFlag,
  },
  words: many,
  async run(io, api, parsed) {
    const input = parsed.bool("interactive");
    if (!parsed.bool("attach") && !input)
      return each(io, parsed.words, async (id) => {
        await api.containerStart(io.call, id, {});
        await io.out(`${id}\n`);
      });
    const [name = "", ...others] = parsed.words;
    if (others.length > 0) throw new CommandError(1, "you cannot start and attach multiple containers at once");
    const { container, ...streams } = await streamsOf(io, api, name, parsed, input);
    const { Id, State } = container;
    // As in docker: a running container is attached to.
    const code = State.Running ? await io.session.attach(api, Id, streams) : (await io.session.runAttached(api, Id, streams)).code;
    return exitCode(code);
  },
};
export const rm: Command = verb(
  "rm",
  "Remove one or more containers",
  {
    force: { short: "f", kind: "bool", help: "Force the removal of a running container (uses SIGKILL)" },
    volumes: { short: "v", kind: "bool", help: "Remove anonymous volumes associated with the container" },
  },
  async (io, api, id, parsed) => {
    try {
      await api.containerRemove(io.call, id, { force: parsed.bool("force"), volumes: parsed.bool("volumes") });
    } catch (error) {
      // As in docker: with --force a missing container is only a warning.
      if (!parsed.bool("force") || !isTsboxError(error) || error.code !== "NotFound") throw error;
      await io.err(`tsbox: ${error.message}\n`);
      return false;
    }
    return true;
  },
);

export const rename: Command = {
  name: "rename",
  usage: "rename CONTAINER NEW_NAME",
  about: "Rename a container",
  aliases: ["container rename"],
  flags: {},
  words: [2, 2],
  async run(io, api, parsed) {
    await api.containerRename(io.call, parsed.words[0] ?? "", parsed.words[1] ?? "");
    return 0;
  },
};

export const logs: Command = {
  name: "logs",
  usage: "logs [OPTIONS] CONTAINER",
  about: "Fetch the logs of a container",
  aliases: ["container logs"],
  flags: {
    follow: { short: "f", kind: "bool", help: "Follow log output" },
    tail: { short: "n", kind: "text", help: 'Number of lines to show from the end of the logs (default "all")' },
    since: { kind: "text", help: "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m)" },
    until: { kind: "text", help: "Show logs before a timestamp or relative" },
    timestamps: { short: "t", kind: "bool", help: "Show timestamps" },
    details: { kind: "bool", help: "Show extra details provided to logs" },
  },
  words: [1, 1],
  async run(io, api, parsed) {
    const { terminal, frames } = await api.containerLogs(io.call, parsed.words[0] ?? "", {
      stdout: true,
      stderr: true,
      follow: parsed.bool("follow"),
      timestamps: parsed.bool("timestamps"),
      details: parsed.bool("details"),
      ...(parsed.text("tail") === null ? {} : { tail: parsed.text("tail") ?? "" }),
      ...(parsed.text("since") === null ? {} : { since: parsed.text("since") ?? "" }),
      ...(parsed.text("until") === null ? {} : { until: parsed.text("until") ?? "" }),
    });
    for await (const chunk of frames) {
      if (terminal) await io.out(chunk);
      else await printFrames(io, Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    }
    return 0;
  },
};

/** A chunk holds whole frames; consecutive frames of one stream are written together. */
async function printFrames(io: Io, chunk: Buffer): Promise<void> {
  let parts: Buffer[] = [];
  let stream = 0;
  const flush = async (): Promise<void> => {
    if (parts.length > 0) await (stream === 2 ? io.err(Buffer.concat(parts)) : io.out(Buffer.concat(parts)));
    parts = [];
  };
  for (let at = 0; at + 8 <= chunk.length; ) {
    const end = at + 8 + chunk.readUInt32BE(at + 4);
    if (chunk[at] !== stream) {
      await flush();
      stream = chunk[at] ?? 1;
    }
    parts.push(chunk.subarray(at + 8, end));
    at = end;
  }
  await flush();
}

/** `key=value`, repeated. */
export function filtersOf(parsed: Parsed): Filters {
  const filters: Record<string, string[]> = {};
  for (const pair of parsed.list("filter")) {
    const at = pair.indexOf("=");
    if (at < 0)
      throw new CommandError(125, `invalid argument "${pair}" for "-f, --filter" flag: bad format of filter (expected name=value)`);
    const key = pair.slice(0, at);
    filters[key] = [...(filters[key] ?? []), pair.slice(at + 1)];
  }
  return filters;
}

/** Prints rows as `-q`, `--format` or docker's table. `heads`: the headings of fields that are not columns of the plain table. */
export async function print(
  io: Io,
  parsed: Parsed,
  rows: readonly Readonly<Record<string, unknown>>[],
  id: string,
  columns: readonly (readonly [string, string])[],
  heads: Readonly<Record<string, string>> = {},
): Promise<void> {
  const format = parsed.text("format");
  if (parsed.bool("quiet") && format === null) await io.out(rows.map((row) => `${String(row[id])}\n`).join(""));
  else if (format === "json") await io.out(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  else if (format !== null && format !== "table") {
    if (format.startsWith("table ")) {
      const template = format.slice("table ".length);
      const top = Object.fromEntries([
        ...Object.entries(rows[0] ?? {}).map(([key, value]) => [key, typeof value === "function" ? lastWord : key.toUpperCase()]),
        ...Object.entries(heads),
        ...columns.map(([head, key]) => [key, head]),
      ]);
      const lines = [top, ...rows].map((row) => compileTemplate(template)(row).split("\t"));
      await io.out(table(lines[0] ?? [], lines.slice(1)));
    } else {
      const template = compileTemplate(format);
      await io.out(Buffer.from(rows.map((row) => `${template(row)}\n`).join("")));
    }
  } else
    await io.out(
      table(
        columns.map(([head]) => head),
        rows.map((row) => columns.map(([, key]) => String(row[key]))),
      ),
    );
}

/** Docker's heading of `{{.Label "com.example.the-owner"}}` is: the owner. */
const lastWord = (key: unknown): string => (String(key).split(".").at(-1) ?? "").replace(/[-_]/g, " ");
