/** Disk usage, and freeing it: `system df`, `system prune`, `container prune`, `image prune`. */
import { type ApiService, ago, type Filters, type Json } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import type { Parsed } from "../flags.ts";
import type { Command, Io } from "../io.ts";
import { humanSize, table } from "../table.ts";
import { filtersOf, print } from "./containers.ts";
import { pruning } from "./objects.ts";

type Pruned = { readonly text: string; readonly freed: number };

async function pruneContainers(io: Io, api: ApiService, filters: Filters): Promise<Pruned> {
  const { ContainersDeleted, SpaceReclaimed } = await api.containerPrune(io.call, { filters });
  const deleted = (ContainersDeleted ?? []) as readonly string[];
  return { text: deleted.length > 0 ? `Deleted Containers:\n${deleted.join("\n")}\n\n` : "", freed: Number(SpaceReclaimed) };
}

async function pruneImages(io: Io, api: ApiService, filters: Filters, all: boolean): Promise<Pruned> {
  const { ImagesDeleted, SpaceReclaimed } = await api.imagePrune(io.call, { filters: { ...filters, dangling: [String(!all)] } });
  const lines = ((ImagesDeleted ?? []) as readonly Json[]).map((line) =>
    line.Untagged === undefined ? `deleted: ${String(line.Deleted)}` : `untagged: ${String(line.Untagged)}`,
  );
  return { text: lines.length > 0 ? `Deleted Images:\n${lines.join("\n")}\n\n` : "", freed: Number(SpaceReclaimed) };
}

function printed(parts: readonly Pruned[]): string {
  const freed = parts.reduce((sum, part) => sum + part.freed, 0);
  return `${parts.map((part) => part.text).join("")}Total reclaimed space: ${humanSize(freed, 4)}\n`;
}

export const containerPrune: Command = pruning("container prune", {
  about: "Remove all stopped containers",
  warning: () => "This will remove all stopped containers.",
  prune: async (io, api, filters) => printed([await pruneContainers(io, api, filters)]),
});

export const imagePrune: Command = pruning("image prune", {
  about: "Remove unused images",
  flags: { all: { short: "a", kind: "bool", help: "Remove all unused images, not just dangling ones" } },
  warning: (parsed) =>
    parsed.bool("all")
      ? "This will remove all images without at least one container associated to them."
      : "This will remove all dangling images.",
  prune: async (io, api, filters, parsed) => printed([await pruneImages(io, api, filters, parsed.bool("all"))]),
});

export const systemPrune: Command = pruning("system prune", {
  about: "Remove unused data",
  filter: "label=<key>=<value>",
  flags: {
    all: { short: "a", kind: "bool", help: "Remove all unused images not just dangling ones" },
    volumes: { kind: "bool", help: "Prune anonymous volumes" },
  },
  warning: (parsed) => {
    if (parsed.bool("volumes") && filtersOf(parsed).until !== undefined)
      throw new CommandError(1, 'ERROR: The "until" filter is not supported with "--volumes"');
    return everything(parsed);
  },
  prune: async (io, api, filters, parsed) => {
    const parts: Pruned[] = [await pruneContainers(io, api, filters)];
    const { NetworksDeleted } = await api.networkPrune(io.call, { filters });
    const gone = NetworksDeleted ?? [];
    parts.push({ text: gone.length > 0 ? `Deleted Networks:\n${gone.join("\n")}\n\n` : "", freed: 0 });
    if (parsed.bool("volumes")) {
      const { VolumesDeleted, SpaceReclaimed } = await api.volumePrune(io.call, { filters });
      parts.push({ text: VolumesDeleted === null ? "" : `Deleted Volumes:\n${VolumesDeleted.join("\n")}\n\n`, freed: SpaceReclaimed });
    }
    parts.push(await pruneImages(io, api, filters, parsed.bool("all")));
    return printed(parts);
  },
});

export const systemCheck: Command = {
  name: "system check",
  usage: "system check [OPTIONS]",
  about: "Compare images and containers on disk with the engine's records",
  flags: { repair: { kind: "bool", help: "Unpack and pull again what is missing or damaged" } },
  words: [0, 0],
  async run(io, api, parsed) {
    const found = await api.systemCheck(io.call, {});
    const registries = [...new Set(found.Findings.flatMap(({ Registry }) => Registry ?? []))];
    const { Findings } =
      parsed.bool("repair") && found.Findings.length > 0
        ? await api.systemCheck(io.call, { repair: true, auths: await io.logins(registries) })
        : found;
    for (const { What, Cure } of Findings) await io.out(`${What}: ${Cure}\n`);
    return Findings.every(({ Mended }) => Mended) ? 0 : 1;
  },
};

/** The list of objects that `system prune` removes. */
function everything(parsed: Parsed): string {
  const [all, volumes] = [parsed.bool("all"), parsed.bool("volumes")];
  const what = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(volumes ? ["all anonymous volumes not used by at least one container"] : []),
    all ? "all images without at least one container associated to them" : "all dangling images",
    all ? "all build cache" : "unused build cache",
  ];
  const list = (lines: readonly string[]): string => lines.map((line) => `  - ${line}\n`).join("");
  const filters = parsed.list("filter");
  const filtered = filters.length > 0 ? `\n  Items to be pruned will be filtered with:\n${list(filters)}` : "";
  return `This will remove:\n${list(what)}${filtered}`;
}

interface Usage {
  readonly LayersSize: number;
  readonly Images: readonly (Json & { readonly Size: number; readonly SharedSize: number; readonly Containers: number })[];
  readonly Containers: readonly (Json & { readonly SizeRw: number; readonly State: string })[];
  readonly Volumes: readonly (Json & { readonly Name: string; readonly UsageData: { readonly RefCount: number; readonly Size: number } })[];
  readonly TsboxBlobs?: { readonly Count: number; readonly Size: number };
  /** Leftovers of interrupted pulls and builds; missing if there are none. */
  readonly TsboxLeftovers?: { readonly Count: number; readonly Size: number };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
const percent = (part: number, whole: number): string =>
  `${humanSize(part, 4)}${whole > 0 ? ` (${Math.floor((part * 100) / whole)}%)` : ""}`;
const isActive = (state: string): boolean => /running|paused|restarting/.test(state);

export const systemDf: Command = {
  name: "system df",
  usage: "system df [OPTIONS]",
  about: "Show disk usage",
  flags: {
    format: { kind: "text", help: "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template" },
    verbose: { short: "v", kind: "bool", help: "Show detailed information on space usage" },
  },
  words: [0, 0],
  async run(io, api, parsed) {
    const usage = (await api.systemDiskUsage(io.call, {})) as unknown as Usage;
    if (!parsed.bool("verbose")) {
      await print(io, parsed, summary(usage), "Type", [
        ["TYPE", "Type"],
        ["TOTAL", "TotalCount"],
        ["ACTIVE", "Active"],
        ["SIZE", "Size"],
        ["RECLAIMABLE", "Reclaimable"],
      ]);
      return 0;
    }
    const format = parsed.text("format");
    if (format === "json") await io.out(`${JSON.stringify(usage)}\n`);
    else if (format !== null && format !== "table") {
      const { compileTemplate } = await import("../template.ts");
      await io.out(Buffer.from(compileTemplate(format)({ ...usage, BuildCache: [] })));
    } else await io.out(details(usage));
    return 0;
  },
};

function summary({ LayersSize, Images, Containers, Volumes, TsboxLeftovers: left }: Usage): readonly Json[] {
  const row = (Type: string, total: number, active: number, size: number, free: number): Json => ({
    Active: String(active),
    Reclaimable: percent(free, size),
    Size: humanSize(size, 4),
    TotalCount: String(total),
    Type,
  });
  const used = sum(Images.filter((image) => image.Containers > 0).map((image) => image.Size - image.SharedSize));
  const idle = Containers.filter((container) => !isActive(container.State));
  const sizes = Volumes.filter((volume) => volume.UsageData.Size !== -1);
  return [
    row("Images", Images.length, Images.filter((image) => image.Containers > 0).length, LayersSize, LayersSize - used),
    row(
      "Containers",
      Containers.length,
      Containers.length - idle.length,
      sum(Containers.map((one) => Math.max(0, one.SizeRw))),
      sum(idle.map((one) => Math.max(0, one.SizeRw))),
    ),
    row(
      "Local Volumes",
      Volumes.length,
      Volumes.filter((volume) => volume.UsageData.RefCount > 0).length,
      sum(sizes.map((volume) => volume.UsageData.Size)),
      sum(sizes.filter((volume) => volume.UsageData.RefCount === 0).map((volume) => volume.UsageData.Size)),
    ),
    row("Build Cache", 0, 0, 0, 0),
    ...(left === undefined ? [] : [row("Leftovers", left.Count, 0, left.Size, left.Size)]),
  ];
}

function details({ Images, Containers, Volumes, TsboxBlobs, TsboxLeftovers }: Usage): string {
  const since = (created: unknown): string => (Number(created) <= 0 ? "N/A" : `${ago(Date.now() - Number(created) * 1000)} ago`);
  const images = Images.flatMap((image) => {
    const tags = (image.RepoTags ?? []) as readonly string[];
    return (tags.length > 0 ? tags : ["<none>:<none>"]).map((tag) => {
      const cut = tag.lastIndexOf(":");
      return [
        tag.slice(0, cut),
        tag.slice(cut + 1),
        String(image.Id).slice(7, 19),
        since(image.Created),
        humanSize(image.Size),
        humanSize(image.SharedSize, 4),
        humanSize(image.Size - image.SharedSize, 4),
        String(image.Containers),
      ];
    });
  });
  const containers = Containers.map((one) => [
    String(one.Id).slice(0, 12),
    String(one.Image),
    `"${String(one.Command).length <= 20 ? String(one.Command) : `${String(one.Command).slice(0, 19)}…`}"`,
    String(((one.Mounts ?? []) as readonly Json[]).filter((mount) => mount.Type === "volume").length),
    one.SizeRw === -1 ? "N/A" : humanSize(one.SizeRw),
    since(one.Created),
    String(one.Status),
    ((one.Names ?? []) as readonly string[]).map((name) => name.slice(1)).join(","),
  ]);
  const volumes = Volumes.map(({ Name, UsageData }) => [
    Name,
    String(UsageData.RefCount),
    UsageData.Size === -1 ? "N/A" : humanSize(UsageData.Size, 4),
  ]);
  const blobs = TsboxBlobs ? `\nBlobs, as images were pulled: ${TsboxBlobs.Count}, ${humanSize(TsboxBlobs.Size, 4)}\n` : "";
  const left = TsboxLeftovers
    ? `\nLeft by pulls and builds that did not end: ${TsboxLeftovers.Count}, ${humanSize(TsboxLeftovers.Size, 4)}\n`
    : "";
  return [
    `Images space usage:\n\n${table(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"], images)}`,
    `Containers space usage:\n\n${table(["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"], containers)}`,
    `Local Volumes space usage:\n\n${table(["VOLUME NAME", "LINKS", "SIZE"], volumes)}`,
    `Build cache usage: 0B\n${blobs}${left}`,
  ].join("\n");
}
