/** `volume create`, `ls`, `inspect`, `rm`, `prune`. */
import type { Command } from "../io.ts";
import { humanSize } from "../table.ts";
import { inspecting, listing, pruning, removing } from "./objects.ts";
import { pairsOf, pairsText } from "./pairs.ts";

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

const ls = listing("volume", {
  filter: "dangling=true",
  quiet: "Only display volume names",
  id: "Name",
  columns: [
    ["DRIVER", "Driver"],
    ["VOLUME NAME", "Name"],
  ],
  rows: async (api, call, filters) =>
    (await api.volumeList(call, { filters })).Volumes.map((volume) => ({
      Availability: "N/A",
      Driver: volume.Driver,
      Group: "N/A",
      Labels: pairsText(volume.Labels),
      Links: "N/A",
      Mountpoint: volume.Mountpoint,
      Name: volume.Name,
      Scope: volume.Scope,
      Size: "N/A",
      Status: "N/A",
    })),
});

const inspect = inspecting("volume", "Display detailed information on one or more volumes", (api, call, name) =>
  api.volumeInspect(call, name),
);

const rm = removing("volume", {
  about: "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
  force: "Force the removal of one or more volumes",
  remove: async (api, call, name, force) => {
    await api.volumeRemove(call, name, { force });
    return true;
  },
});

const prune = pruning("volume prune", {
  about: "Remove unused local volumes",
  filter: "label=<label>",
  flags: { all: { short: "a", kind: "bool", help: "Remove all unused volumes, not just anonymous ones" } },
  warning: (parsed) => `This will remove ${parsed.bool("all") ? "all" : "anonymous"} local volumes not used by at least one container.`,
  prune: async ({ call }, api, filters, parsed) => {
    const all = parsed.bool("all") && filters.all === undefined ? { all: ["true"] } : {};
    const { VolumesDeleted, SpaceReclaimed } = await api.volumePrune(call, { filters: { ...filters, ...all } });
    const deleted = VolumesDeleted === null ? "" : `Deleted Volumes:\n${VolumesDeleted.join("\n")}\n\n`;
    return `${deleted}Total reclaimed space: ${humanSize(SpaceReclaimed)}\n`;
  },
});

export const volumes: readonly Command[] = [create, ls, inspect, rm, prune];
