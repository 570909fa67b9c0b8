/** `storage ls` and `storage migrate`. */
import type { ApiService, Json } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import type { Command, Io } from "../io.ts";
import { showProgress, throwError } from "../progress.ts";
import { humanSize, table } from "../table.ts";
import { print } from "./containers.ts";
import { formatFlag } from "./objects.ts";

const ls: Command = {
  name: "storage ls",
  usage: "storage ls [OPTIONS]",
  about: "List the storage drivers that work here, and what each holds",
  aliases: ["storage list"],
  flags: { format: formatFlag, quiet: { short: "q", kind: "bool", help: "Only display the names of the drivers" } },
  words: [0, 0],
  async run(io, api, parsed) {
    const rows = (await api.storageList(io.call)).map((one) => ({
      Driver: one.Driver,
      Default: one.Default ? "yes" : "",
      Layers: String(one.Layers),
      LayersSize: humanSize(one.LayersSize),
      Containers: String(one.Containers),
      ContainersSize: humanSize(one.ContainersSize),
      LeftBehind: String(one.LeftBehind),
      LeftBehindSize: humanSize(one.LeftBehindSize),
    }));
    await print(io, parsed, rows, "Driver", [
      ["DRIVER", "Driver"],
      ["DEFAULT", "Default"],
      ["LAYERS", "Layers"],
      ["SIZE", "LayersSize"],
      ["CONTAINERS", "Containers"],
      ["SIZE", "ContainersSize"],
      ["LEFT BEHIND", "LeftBehind"],
      ["SIZE", "LeftBehindSize"],
    ]);
    return 0;
  },
};

interface Plan {
  readonly Layers: readonly { readonly Name: string; readonly Size: number; readonly Source: string }[];
  readonly Containers: readonly { readonly Id: string; readonly Name: string; readonly Running: boolean; readonly Size: number }[];
  readonly Bytes: number;
  readonly WholeBytes: number;
  readonly ScratchBytes: number;
  readonly LeftBehindBytes: number;
  readonly Refusals: readonly string[];
}

const migrate: Command = {
  name: "storage migrate",
  usage: "storage migrate [OPTIONS] FROM TO",
  about: "Move all images and containers from one storage driver to another",
  flags: {
    "dry-run": { kind: "bool", help: "Say what would be done, and how much space it needs" },
    format: { kind: "text", help: "Print the plan, or each line of progress, as 'json'" },
    remove: { kind: "bool", help: "At the end, remove from FROM what TO has by then" },
    stop: { kind: "bool", help: "Stop each running container while it is moved, and start it again" },
  },
  words: [2, 2],
  async run(io, api, parsed) {
    const [from = "", to = ""] = parsed.words;
    const format = parsed.text("format");
    if (format !== null && format !== "json") throw new CommandError(1, `unknown format ${format}: there is json`);
    const stop = parsed.bool("stop");
    if (parsed.bool("dry-run")) return showPlan(io, await api.storagePlan(io.call, from, to, { stop }), to, format === "json");
    const lines = await api.storageMigrate(io.call, from, to, { remove: parsed.bool("remove"), stop });
    if (format === null) await showProgress(lines, (text) => io.out(text), io.terminals[1]);
    else await printJson(io, lines);
    return 0;
  },
};

async function printJson(io: Io, lines: Awaited<ReturnType<ApiService["storageMigrate"]>>): Promise<void> {
  for await (const line of lines) {
    throwError(line);
    await io.out(`${JSON.stringify(line)}\n`);
  }
}

/** Answers the exit code: 1 if the migration would be refused. */
async function showPlan(io: Io, answer: Json, to: string, json: boolean): Promise<number> {
  const plan = answer as unknown as Plan;
  const code = plan.Refusals.length > 0 ? 1 : 0;
  if (json) {
    await io.out(`${JSON.stringify(plan)}\n`);
    return code;
  }
  const ways: Readonly<Record<string, string>> = { blob: "unpacked from its blob", directory: "shows the directory again", copy: "copied" };
  const rows = [
    ...plan.Layers.map(({ Name, Size, Source }) => [
      "layer",
      Name.replace(/^sha256:/, "").slice(0, 12),
      humanSize(Size),
      ways[Source] ?? Source,
    ]),
    ...plan.Containers.map(({ Name, Size, Running }) => [
      "container",
      Name,
      humanSize(Size),
      Running ? "stopped, copied, started" : "copied",
    ]),
  ];
  if (rows.length > 0) await io.out(table(["KIND", "NAME", "SIZE", "HOW"], rows));
  await io.out(
    `${to} needs ${humanSize(plan.Bytes)}, and up to ${humanSize(plan.WholeBytes)} if it copies each snapshot as a whole; ` +
      `${humanSize(plan.ScratchBytes)} more are needed below the root directory meanwhile\n`,
  );
  if (plan.LeftBehindBytes > 0) await io.out(`${humanSize(plan.LeftBehindBytes)} of moved containers are left; --remove frees them\n`);
  for (const refusal of plan.Refusals) await io.out(`refused: ${refusal}\n`);
  return code;
}

export const storage: readonly Command[] = [ls, migrate];
