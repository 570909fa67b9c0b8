/** Commands for running containers: top, stats, update, port. */
import { type ApiService, type Json, plain, plainCell } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import type { FlagSpecs, Parsed } from "../flags.ts";
import type { Command, Io } from "../io.ts";
import { parseRestart, restartFlags } from "../restart.ts";
import { each, print } from "./containers.ts";
import { limitFlags, limitsOf } from "./run-flags.ts";

export const top: Command = {
  name: "top",
  usage: "top CONTAINER [ps OPTIONS]",
  about: "Display the running processes of a container",
  aliases: ["container top"],
  flags: {},
  ownWords: true,
  words: [1, Number.POSITIVE_INFINITY],
  async run(io, api, parsed) {
    const [id = "", ...options] = parsed.words;
    const { Titles, Processes } = (await api.containerTop(io.call, id, options.join(" "))) as {
      readonly Titles: readonly string[];
      readonly Processes: readonly (readonly string[])[];
    };
    const rows = [Titles, ...Processes.map((row) => row.map(plainCell))];
    // Docker's columns: at least 20 wide, three spaces between them.
    const widths = Titles.map((_, at) => Math.max(20, ...rows.map((row) => (row[at] ?? "").length + 3)));
    const line = (row: readonly string[]): string =>
      row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join("");
    await io.out(rows.map((row) => `${line(row)}\n`).join(""));
    return 0;
  },
};

const updatable = [
  "blkio-weight",
  "cpu-period",
  "cpu-quota",
  "cpu-rt-period",
  "cpu-rt-runtime",
  "cpu-shares",
  "cpus",
  "cpuset-cpus",
  "cpuset-mems",
  "memory",
  "memory-reservation",
  "memory-swap",
  "pids-limit",
];
const updateFlags: FlagSpecs = {
  ...Object.fromEntries(Object.entries(limitFlags).filter(([name]) => updatable.includes(name))),
  ...restartFlags,
};

export const update: Command = {
  name: "update",
  usage: "update [OPTIONS] CONTAINER [CONTAINER...]",
  about: "Update configuration of one or more containers",
  aliases: ["container update"],
  flags: updateFlags,
  words: [1, Number.POSITIVE_INFINITY],
  async run(io, api, parsed) {
    if (!Object.keys(updateFlags).some((name) => parsed.given(name)))
      throw new CommandError(1, "you must provide one or more flags when using this command");
    const body = changesOf(parsed);
    return each(io, parsed.words, async (id) => {
      const { Warnings } = await api.containerUpdate(io.call, id, body);
      await io.out(`${id}\n`);
      for (const warning of Warnings) await io.err(`${warning}\n`);
    });
  },
};

function changesOf(parsed: Parsed): Json {
  const { BlkioWeight, CpuPeriod, CpuQuota, CpuRealtimePeriod, CpuRealtimeRuntime, CpuShares, NanoCpus, CpusetCpus, CpusetMems, ...rest } =
    limitsOf(parsed);
  const { Memory, MemoryReservation, MemorySwap, PidsLimit } = rest;
  return {
    ...{ BlkioWeight, CpuPeriod, CpuQuota, CpuRealtimePeriod, CpuRealtimeRuntime, CpuShares, NanoCpus, CpusetCpus, CpusetMems },
    ...{ Memory, MemoryReservation, MemorySwap, PidsLimit },
    ...(parsed.given("restart") ? { RestartPolicy: parseRestart(parsed.text("restart") ?? "") } : {}),
  };
}

type Ports = Readonly<Record<string, readonly { readonly HostIp: string; readonly HostPort: string }[] | null>>;

export const port: Command = {
  name: "port",
  usage: "port CONTAINER [PRIVATE_PORT[/PROTO]]",
  about: "List port mappings or a specific mapping for the container",
  aliases: ["container port"],
  flags: {},
  words: [1, 2],
  async run(io, api, parsed) {
    const [id = "", wanted] = parsed.words;
    const { NetworkSettings } = (await api.containerInspect(io.call, id, {})) as { readonly NetworkSettings: { readonly Ports: Ports } };
    const address = ({ HostIp, HostPort }: { readonly HostIp: string; readonly HostPort: string }): string =>
      `${HostIp.includes(":") ? `[${HostIp}]` : HostIp}:${HostPort}`;
    if (wanted !== undefined) {
      const key = wanted.includes("/") ? wanted : `${wanted}/tcp`;
      if (!/^\d+\/(tcp|udp|sctp)$/.test(key)) throw new CommandError(1, `invalid port: ${wanted}`);
      const bound = NetworkSettings.Ports[key] ?? [];
      if (bound.length === 0) throw new CommandError(1, `no public port '${key}' published for ${id}`);
      await io.out(bound.map((one) => `${address(one)}\n`).join(""));
      return 0;
    }
    const lines = Object.entries(NetworkSettings.Ports).flatMap(([key, bound]) =>
      (bound ?? []).map((one) => `${key} -> ${address(one)}\n`),
    );
    await io.out(lines.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)).join(""));
    return 0;
  },
};

export const stats: Command = {
  name: "stats",
  usage: "stats [OPTIONS] [CONTAINER...]",
  about: "Display a live stream of container(s) resource usage statistics",
  aliases: ["container stats"],
  flags: {
    all: { short: "a", kind: "bool", help: "Show all containers (default shows just running)" },
    format: { kind: "text", help: "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template" },
    "no-stream": { kind: "bool", help: "Disable streaming stats and only pull the first result" },
    "no-trunc": { kind: "bool", help: "Do not truncate output" },
  },
  words: [0, Number.POSITIVE_INFINITY],
  run: (io, api, parsed) => (parsed.bool("no-stream") ? once(io, api, parsed) : follow(io, api, parsed)),
};

interface Sample extends Json {
  readonly name: string;
  readonly id: string;
  readonly cpu_stats: Cpu;
  readonly precpu_stats: Cpu;
  readonly memory_stats: { readonly usage?: number; readonly limit?: number; readonly stats?: Readonly<Record<string, number>> };
  readonly pids_stats: { readonly current?: number };
  readonly blkio_stats: { readonly io_service_bytes_recursive: readonly { readonly op: string; readonly value: number }[] | null };
  readonly networks?: Readonly<Record<string, { readonly rx_bytes: number; readonly tx_bytes: number }>>;
}
interface Cpu {
  readonly cpu_usage: { readonly total_usage: number };
  readonly system_cpu_usage?: number;
  readonly online_cpus?: number;
}

/** The named containers in their order; otherwise all running ones, or all. */
async function subjects(io: Io, api: ApiService, parsed: Parsed): Promise<readonly string[]> {
  if (parsed.words.length > 0) return parsed.words;
  return (await api.containerList(io.call, { all: parsed.bool("all") })).map((container) => String(container.Id));
}

async function once(io: Io, api: ApiService, parsed: Parsed): Promise<number> {
  const names = await subjects(io, api, parsed);
  const rows = await Promise.all(
    names.map(async (name) => {
      for await (const sample of await api.containerStats(io.call, name, { stream: false })) return [rowOf(name, sample as Sample, parsed)];
      return [];
    }),
  );
  await show(io, parsed, rows.flat());
  return 0;
}

/** Milliseconds between two redraws. */
const every = 500;

/** Runs until the command is ended, or all named containers are gone. */
async function follow(io: Io, api: ApiService, parsed: Parsed): Promise<number> {
  const { signal } = io.call;
  const latest = new Map<string, Row>();
  const collect = async (name: string): Promise<void> => {
    for await (const sample of await api.containerStats(io.call, name, { stream: true })) {
      // The container is no longer shown.
      if (!latest.has(name)) return;
      latest.set(name, rowOf(name, sample as Sample, parsed));
    }
  };
  // A named container that does not exist ends the command before anything is drawn.
  for (const name of parsed.words) await api.containerInspect(io.call, name, {});
  const gone = new Set<string>();
  const clear = io.terminals[1];
  if (clear) await io.out(Buffer.from("\u001b[2J"));
  while (!signal.aborted) {
    const names = (await subjects(io, api, parsed)).filter((name) => !gone.has(name));
    if (parsed.words.length > 0 && names.length === 0) return 0;
    for (const name of latest.keys()) if (!names.includes(name)) latest.delete(name);
    for (const name of names.filter((one) => !latest.has(one))) {
      latest.set(name, waiting(name, parsed));
      const over = (): void => void gone.add(name);
      void collect(name).then(over, over);
    }
    await draw(
      io,
      parsed,
      names.flatMap((name) => latest.get(name) ?? []),
      clear,
    );
    await pause(every, signal);
  }
  return 0;
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}

/** Draws over the previous table, line by line, so that nothing flickers. */
async function draw(io: Io, parsed: Parsed, rows: readonly Row[], clear: boolean): Promise<void> {
  const parts: string[] = [];
  const out = async (part: string | Uint8Array): Promise<void> => void parts.push(String(part));
  await show({ ...io, out }, parsed, rows);
  const text = parts.join("");
  await io.out(clear ? Buffer.from(`\u001b[H${plain(text).replaceAll("\n", "\u001b[K\n")}\u001b[J`) : text);
}

const show = (io: Io, parsed: Parsed, rows: readonly Row[]): Promise<void> =>
  print(io, parsed, rows, "ID", [
    ["CONTAINER ID", "ID"],
    ["NAME", "Name"],
    ["CPU %", "CPUPerc"],
    ["MEM USAGE / LIMIT", "MemUsage"],
    ["MEM %", "MemPerc"],
    ["NET I/O", "NetIO"],
    ["BLOCK I/O", "BlockIO"],
    ["PIDS", "PIDs"],
  ]);

interface Row extends Readonly<Record<string, string>> {
  readonly BlockIO: string;
  readonly CPUPerc: string;
  readonly Container: string;
  readonly ID: string;
  readonly MemPerc: string;
  readonly MemUsage: string;
  readonly Name: string;
  readonly NetIO: string;
  readonly PIDs: string;
}

/** The row of a container without a sample so far. */
function waiting(name: string, parsed: Parsed): Row {
  const none = { BlockIO: "-- / --", CPUPerc: "--", MemPerc: "--", MemUsage: "-- / --", Name: "--", NetIO: "-- / --", PIDs: "--" };
  return { ...none, Container: name, ID: shortened(name, parsed) };
}

const shortened = (id: string, parsed: Parsed): string => (parsed.bool("no-trunc") ? id : id.slice(0, 12));

/** Docker's formulas: CPU time relative to the host's, memory without the cache that the kernel can reclaim at once. */
export function rowOf(container: string, sample: Sample, parsed: Parsed): Row {
  const { cpu_stats: cpu, precpu_stats: before, memory_stats: memory } = sample;
  const own = cpu.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const all = (cpu.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const share = own > 0 && all > 0 ? (own / all) * (cpu.online_cpus ?? 1) * 100 : 0;
  const cached = memory.stats?.total_inactive_file ?? memory.stats?.inactive_file ?? 0;
  const used = memory.usage ?? 0;
  const bytes = cached < used ? used - cached : used;
  const limit = memory.limit ?? 0;
  const sum = (list: readonly number[]): number => list.reduce((total, one) => total + one, 0);
  const networks = Object.values(sample.networks ?? {});
  const blocks = sample.blkio_stats.io_service_bytes_recursive ?? [];
  const moved = (letter: string): number => sum(blocks.filter(({ op }) => op.toLowerCase().startsWith(letter)).map(({ value }) => value));
  return {
    BlockIO: `${decimal(moved("r"))} / ${decimal(moved("w"))}`,
    CPUPerc: `${share.toFixed(2)}%`,
    Container: container,
    ID: shortened(sample.id, parsed),
    MemPerc: `${(limit > 0 ? (bytes / limit) * 100 : 0).toFixed(2)}%`,
    MemUsage: `${binary(bytes)} / ${binary(limit)}`,
    Name: sample.name.replace(/^\//, ""),
    NetIO: `${decimal(sum(networks.map((one) => one.rx_bytes)))} / ${decimal(sum(networks.map((one) => one.tx_bytes)))}`,
    PIDs: String(sample.pids_stats.current ?? 0),
  };
}

const scaled = (bytes: number, base: number, units: readonly string[], digits: number): string => {
  let [value, at] = [bytes, 0];
  for (; value >= base && at < units.length - 1; at += 1) value /= base;
  return `${Number(value.toPrecision(digits))}${units[at]}`;
};
/** 1.234MiB */
const binary = (bytes: number): string => scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4);
/** 1.23MB */
const decimal = (bytes: number): string => scaled(bytes, 1000, ["B", "kB", "MB", "GB", "TB", "PB"], 3);
