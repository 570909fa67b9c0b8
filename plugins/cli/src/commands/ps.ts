/** `ps`: the list of containers, in docker's form. */
import { ago, type Json } from "@tsbox/kernel";
import type { Command } from "../io.ts";
import { humanSize } from "../table.ts";
import { count } from "../units.ts";
import { filtersOf, print } from "./containers.ts";

interface Listed extends Json {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Image: string;
  readonly ImageID: string;
  readonly Command: string;
  readonly Created: number;
  readonly State: string;
  readonly Status: string;
  readonly Ports: readonly Port[];
  readonly Labels: Readonly<Record<string, string>>;
  readonly Mounts?: readonly { readonly Type: string; readonly Name?: string; readonly Source: string; readonly Driver?: string }[];
  readonly SizeRw?: number;
  readonly SizeRootFs?: number;
}
export interface Port {
  readonly IP?: string;
  readonly PrivatePort: number;
  readonly PublicPort?: number;
  readonly Type: string;
}

export const ps: Command = {
  name: "ps",
  usage: "ps [OPTIONS]",
  about: "List containers",
  aliases: ["container ls", "container list", "container ps"],
  flags: {
    all: { short: "a", kind: "bool", help: "Show all containers (default shows just running)" },
    quiet: { short: "q", kind: "bool", help: "Only display container IDs" },
    "no-trunc": { kind: "bool", help: "Don't truncate output" },
    last: { short: "n", kind: "text", value: "int", help: "Show n last created containers (includes all states)" },
    latest: { short: "l", kind: "bool", help: "Show the latest created container (includes all states)" },
    size: { short: "s", kind: "bool", help: "Display total file sizes" },
    filter: { short: "f", kind: "list", value: "filter", help: "Filter output based on conditions provided" },
    format: { kind: "text", help: "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template" },
  },
  words: [0, 0],
  async run(io, api, parsed) {
    const last = count("last", parsed.text("last") ?? "-1");
    const limit = parsed.bool("latest") && !parsed.given("last") ? 1 : last;
    const format = parsed.text("format") ?? "";
    // As in docker: a template with a size requests the sizes from the engine.
    const size = parsed.bool("size") || /\.Size\b/.test(format);
    const list = (await api.containerList(io.call, {
      all: parsed.bool("all"),
      ...(limit > 0 ? { limit } : {}),
      ...(size ? { size } : {}),
      filters: filtersOf(parsed),
    })) as readonly Listed[];
    const whole = parsed.bool("no-trunc");
    await print(
      io,
      parsed,
      list.map((item) => row(item, whole)),
      "ID",
      [
        ["CONTAINER ID", "ID"],
        ["IMAGE", "Image"],
        ["COMMAND", "Command"],
        ["CREATED", "RunningFor"],
        ["STATUS", "Status"],
        ["PORTS", "Ports"],
        ["NAMES", "Names"],
        ...(parsed.bool("size") ? [["SIZE", "Size"] as const] : []),
      ],
      { CreatedAt: "CREATED AT", LocalVolumes: "LOCAL VOLUMES", Mounts: "MOUNTS", Networks: "NETWORKS", Labels: "LABELS", Size: "SIZE" },
    );
    return 0;
  },
};

/** An image without a name is shown by its id. */
function imageText({ Image, ImageID }: Listed, whole: boolean): string {
  if (Image === "") return "<no image>";
  return whole || Image !== ImageID ? Image : Image.replace("sha256:", "").slice(0, 12);
}

function row(item: Listed, whole: boolean): Json {
  const cut = (text: string, most: number): string => (whole || text.length <= most ? text : `${text.slice(0, most - 1)}…`);
  const mounts = item.Mounts ?? [];
  return {
    Command: `"${cut(item.Command, 20)}"`,
    CreatedAt: localTime(item.Created * 1000),
    ID: whole ? item.Id : item.Id.slice(0, 12),
    Image: imageText(item, whole),
    Labels: Object.entries(item.Labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    Label: (key: unknown): string => item.Labels[String(key)] ?? "",
    LocalVolumes: String(mounts.filter((mount) => mount.Driver === "local").length),
    Mounts: mounts.map((mount) => cut(mount.Name ?? mount.Source, 15)).join(","),
    // As in docker: names of links, which contain a slash, are not the container's names.
    Names: item.Names.map((name) => name.slice(1))
      .filter((name) => whole || !name.includes("/"))
      .join(","),
    Networks: Object.keys(((item.NetworkSettings as Json | undefined)?.Networks ?? {}) as object).join(","),
    Ports: showPorts(item.Ports),
    RunningFor: `${ago(Date.now() - item.Created * 1000)} ago`,
    Size: sizeOf(item),
    State: item.State,
    Status: item.Status,
  };
}

function sizeOf({ SizeRw, SizeRootFs }: Listed): string {
  // The engine can't determine this container's size.
  if (SizeRw === -1) return "N/A";
  const own = humanSize(SizeRw ?? 0);
  return SizeRootFs !== undefined && SizeRootFs > 0 ? `${own} (virtual ${humanSize(SizeRootFs)})` : own;
}

/** By offset: the lookup costs more than the rest of a row. */
const zoneNames = new Map<number, string | undefined>();

/** `UTC`, `CET`; undefined if the zone has no such name. */
function zoneName(date: Date, offset: number): string | undefined {
  if (!zoneNames.has(offset))
    zoneNames.set(offset, /\(?([A-Z]{2,5})\)?$/.exec(date.toLocaleTimeString("en-US", { timeZoneName: "short" }))?.[1]);
  return zoneNames.get(offset);
}

/** A time in Go's format: `2026-01-02 15:04:05 +0000 UTC`. */
function localTime(at: number): string {
  const date = new Date(at);
  const two = (number: number): string => String(number).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  const name = zoneName(date, offset) ?? zone;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone} ${name}`;
}

/** As in docker: consecutive ports that are the same on both sides, or not published, are joined; the others come last, each by itself. */
export function showPorts(ports: readonly Port[]): string {
  const sorted = [...ports].sort(
    (a, b) =>
      a.PrivatePort - b.PrivatePort || order(a.IP ?? "", b.IP ?? "") || (a.PublicPort ?? 0) - (b.PublicPort ?? 0) || order(a.Type, b.Type),
  );
  const own: string[] = [];
  const done: string[] = [];
  const open = new Map<string, { readonly port: Port; readonly first: number; last: number }>();
  for (const port of sorted) {
    const { IP = "", PrivatePort, PublicPort, Type } = port;
    if (IP !== "" && PublicPort !== PrivatePort) {
      own.push(`${address(IP)}:${PublicPort}->${PrivatePort}/${Type}`);
      continue;
    }
    const key = `${IP}/${Type}`;
    const run = open.get(key);
    if (run !== undefined && PrivatePort === run.last + 1) run.last = PrivatePort;
    else {
      if (run !== undefined) done.push(showRun(run));
      open.set(key, { port, first: PrivatePort, last: PrivatePort });
    }
  }
  return [...done, ...[...open.values()].map(showRun), ...own].join(", ");
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const address = (ip: string): string => (ip.includes(":") ? `[${ip}]` : ip);

function showRun({ port, first, last }: { readonly port: Port; readonly first: number; readonly last: number }): string {
  const span = first === last ? String(first) : `${first}-${last}`;
  return port.IP === undefined || port.IP === "" ? `${span}/${port.Type}` : `${address(port.IP)}:${span}->${span}/${port.Type}`;
}
