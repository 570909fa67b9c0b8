/** Docker's exec operations. */
import {
  type ApiService,
  type Container,
  type ContainersService,
  detachKeys,
  type Exec,
  type ExecConfig,
  fail,
  type Json,
  type WindowSize,
} from "@tsbox/kernel";

type ExecVerbs = Pick<ApiService, "execCreate" | "execStart" | "execResize" | "execInspect">;

export function execVerbs(containers: ContainersService): ExecVerbs {
  return {
    execCreate: async (call, id, body) => {
      const config = parseExec(body);
      // As in Docker: before the container is looked for.
      if (config.argv.length === 0) throw fail("InvalidArgument", "No exec command specified");
      const record: Container = await containers.get(call, id);
      const exec = await containers.execCreate(call, record.id, config);
      return { Id: exec.id };
    },
    execStart: async (call, id, options) => {
      await containers.execStart(call, (await containers.execGet(call, id)).id, options);
    },
    execResize: async (call, id, rows, columns) => {
      await containers.execResize(call, (await containers.execGet(call, id)).id, { rows, columns });
    },
    execInspect: async (call, id) => inspectExec(await containers.execGet(call, id)),
  };
}

function parseExec(body: Json): ExecConfig {
  const text = (key: string): string => (typeof body[key] === "string" ? body[key] : "");
  const words = (key: string): readonly string[] => {
    const value = body[key];
    if (value === undefined || value === null) return [];
    if (Array.isArray(value) && value.every((word) => typeof word === "string")) return value;
    throw fail("InvalidArgument", `${key} is no list of words`);
  };
  return {
    argv: words("Cmd"),
    env: words("Env"),
    workingDirectory: text("WorkingDir"),
    user: text("User"),
    terminal: body.Tty === true,
    size: consoleSize(body.ConsoleSize),
    privileged: body.Privileged === true,
    attach: { stdin: body.AttachStdin === true, stdout: body.AttachStdout === true, stderr: body.AttachStderr === true },
    detachKeys: detachKeys(text("DetachKeys")),
    tools: text("TsboxTools") || null,
  };
}

/** `[rows, columns]`; null: there is no size, or a part of it is 0. */
export function consoleSize(value: unknown): WindowSize | null {
  if (!Array.isArray(value)) return null;
  const extent = (one: unknown): number => (Number.isInteger(one) ? Math.min(Math.max(one as number, 0), 65535) : 0);
  const [rows, columns] = [extent(value[0]), extent(value[1])];
  return rows > 0 && columns > 0 ? { rows, columns } : null;
}

function inspectExec({ id, container, config, status, pid, exitCode }: Exec): Json {
  return {
    ID: id,
    Running: status === "running",
    ExitCode: exitCode,
    ProcessConfig: {
      tty: config.terminal,
      entrypoint: config.argv[0] ?? "",
      arguments: config.argv.slice(1),
      privileged: config.privileged,
      ...(config.user === "" ? {} : { user: config.user }),
    },
    OpenStdin: config.attach.stdin,
    OpenStderr: config.attach.stderr,
    OpenStdout: config.attach.stdout,
    CanRemove: status === "ended",
    ContainerID: container,
    DetachKeys: Buffer.from(config.detachKeys ?? []).toString("base64"),
    Pid: pid ?? 0,
  };
}
