/** `volume create`, `ls`, `inspect`, `rm`, `prune`. */
import type { Json } from "@tsbox/kernel";
import { asksFirst, confirmed } from "../confirm.ts";
import type { Command } from "../io.ts";
import { humanSize } from "../table.ts";
import { each, filtersOf, print } from "./containers.ts";
import { inspecting } from "./inspecting.ts";
import { pairsOf } from "./pairs.ts";

const create: Command = {
  name: "volume create",
  usage: "volume create [OPTIONS] [VOLUME]",
  about: "Create a volume",
  flags: {
    driver: { short: "d", kind: "text", help: 'Specify volume driver name (default "local")' },
    label: { kind: "list", help: "Set metadata for a volume" },
    name: { kind: "text", help: "Specify volume name (same as the argument)" },
    opt: { short: "o", kind: "list", help: "Set driver specific options: type=, device=, o=" },
  },
  words: [0, 1],
  async run(io, api, parsed) {
    const made = await api.volumeCreate(io.call, {
      Name: parsed.words[0] ?? parsed.text("name") ?? "",
      Driver: parsed.text("driver") ?? "",
      DriverOpts: pairsOf(parsed.list("opt")),
      Labels: pairsOf(parsed.list("label")),
    });
    await io.out(`${String(made.Name)}\n`);
    return 0;
  },
};

const ls: Command = {
  name: "volume ls",
  usage: "volume ls [OPTIONS]",
  about: "List volumes",
  flags: {
    filter: { short: "f", kind: "list", value: "filter", help: "Provide filter values (e.g. dangling=true)" },
    format: { kind: "text", help: "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template" },
    quiet: { short: "q", kind: "bool", help: "Only display volume names" },
  },
  words: [0, 0],
  async run(io, api, parsed) {
    const { Volumes } = await api.volumeList(io.call, { filters: filtersOf(parsed) });
    const rows = Volumes.map((volume) => ({
      Availability: "N/A",
      Driver: volume.Driver,
      Group: "N/A",
      Labels: Object.entries((volume.Labels ?? {}) as Json)
        .map(([key, value]) => `${key}=${String(value)}`)
        .join(","),
      Links: "N/A",
      Mountpoint: volume.Mountpoint,
      Name: volume.Name,
      Scope: volume.Scope,
      Size: "N/A",
      Status: "N/A",
    }));
    await print(io, parsed, rows, "Name", [
      ["DRIVER", "Driver"],
      ["VOLUME NAME", "Name"],
    ]);
    return 0;
  },
};

const inspect: Command = inspecting("volume", "Display detailed information on one or more volumes", (api, call, name) =>
  api.volumeInspect(call, name),
);

const rm: Command = {
  name: "volume rm",
  usage: "volume rm [OPTIONS] VOLUME [VOLUME...]",
  about: "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
  flags: { force: { short: "f", kind: "bool", help: "Force the removal of one or more volumes" } },
  words: [1, Number.POSITIVE_INFINITY],
  run: (io, api, parsed) =>
    each(io, parsed.words, async (name) => {
      await api.volumeRemove(io.call, name, { force: parsed.bool("force") });
      await io.out(`${name}\n`);
    }),
};

const prune: Command = {
  name: "volume prune",
  usage: "volume prune [OPTIONS]",
  about: "Remove unused local volumes",
  flags: {
    all: { short: "a", kind: "bool", help: "Remove all unused volumes, not just anonymous ones" },
    filter: { kind: "list", value: "filter", help: 'Provide filter values (e.g. "label=<label>")' },
    force: { short: "f", kind: "bool", help: "Do not prompt for confirmation" },
  },
  words: [0, 0],
  local: asksFirst,
  async run(io, api, parsed) {
    const all = parsed.bool("all");
    const warning = `This will remove ${all ? "all" : "anonymous"} local volumes not used by at least one container.`;
    if (!parsed.bool("force") && !(await confirmed(io, warning))) return 0;
    const filters = filtersOf(parsed);
    const { VolumesDeleted, SpaceReclaimed } = await api.volumePrune(io.call, {
      filters: { ...filters, ...(all && filters.all === undefined ? { all: ["true"] } : {}) },
    });
    if (VolumesDeleted !== null) await io.out(`Deleted Volumes:\n${VolumesDeleted.join("\n")}\n\n`);
    await io.out(`Total reclaimed space: ${humanSize(SpaceReclaimed)}\n`);
    return 0;
  },
};

export const volumes: readonly Command[] = [create, ls, inspect, rm, prune];
