/** The text of docs/drivers.md: what a driver is, how to choose one, and what the stored reports say of each. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type DriverPackage, driverPackages, readReports, type StoredReport } from "./driver-reports.ts";

const root = join(import.meta.dirname, "..", "..", "..");

/** In the order in which an operator thinks of them. */
const kinds: readonly (readonly [kind: string, about: string, medians: readonly (readonly [head: string, name: string])[]])[] = [
  [
    "storage",
    "keeps the layers of images and the files of containers. The times are for a layer on ten others.",
    [
      ["prepare", "prepare at depth 10"],
      ["commit", "commit at depth 10"],
      ["remove", "remove at depth 10"],
    ],
  ],
  [
    "exec",
    "starts containers. The memory is that of an idle shell and of what the format keeps beside it; the engine's shim is extra.",
    [
      ["start", "start"],
      ["stop", "stop"],
      ["memory", "memory of a container"],
    ],
  ],
  ["network", "connects containers.", []],
  ["volume", "keeps named volumes.", []],
  ["registry", "brings images; the id is the scheme of a reference (`docker` is that of plain names).", []],
  ["log", "passes the output of containers on.", []],
];

export function driversDocument(): string {
  const reports = readReports();
  const packages = driverPackages();
  const sections = kinds.flatMap(([kind, about, medians]) => {
    const own = packages.filter((driver) => driver.kind === kind).sort((a, b) => b.rank - a.rank);
    return own.length === 0
      ? []
      : [`### ${kind}\n\n${kind === "exec" ? "An" : "A"} ${kind} driver ${about}\n\n${tableOf(own, reports, medians)}`];
  });
  return `# Drivers

This file is made by \`node test/harness/src/documents.ts --write\` from the manifests of the drivers and from \`docs/drivers.json\`, which
\`node test/harness/src/driver-reports.ts\` fills with the reports of \`tsbox conformance\`.

## What a driver is

A driver is an npm package that implements one contract of the kernel (\`kernel/src/contract/\`): where layers lie, what starts a container,
what connects it, where images come from. Nothing else of the engine knows which driver it talks to: it asks for *powers*, verbs or
properties that only some drivers have, and does without, slower or with a plain refusal. The suite of a kind holds every driver to its
contract, ours and others' alike: \`tsbox conformance KIND ID\`.

## How to choose

- Do nothing: at its first start the engine takes, for each kind, the usable driver with the highest rank, and stays with it.
  \`tsbox info --why\` says which that is, and why each of the others was not taken.
- For the host: \`{"drivers": {"storage": "btrfs", "exec": "lxc"}}\` in \`/etc/tsbox/config.json\`. A driver that can't be used here prevents
  the start, with the reason.
- For one container: \`run --storage ID\`, \`--exec ID\`, \`--net\` with a network of that driver (\`network create -d ID\`).
- Several of one package, with settings of their own: [configuration.md](configuration.md#several-drivers-of-one-package).
- A storage driver holds what was made under it. \`tsbox storage ls\` says what that is, and \`tsbox storage migrate FROM TO\` moves images
  and containers to another one, which is the host's choice from then on.

Which storage: overlay, unless the disk is btrfs and you want a size limit for each container, exact usage and snapshots without copies
(btrfs), or the file system supports neither (vfs, which copies). Which exec: native, unless you need another runtime's isolation (oci,
with gVisor or Kata) or manage containers with LXC's tools (lxc). Which network: bridge, unless containers shall be machines of the LAN
(macvlan), or your network is described for CNI (cni).

## What the reports say

*Rules* are those passed, and those skipped, mostly for a power that the driver lacks. *Rank* decides between drivers that can be used;
without a rank a driver is used where it is named. The medians are of one host, where other work ran meanwhile: they compare drivers with
each other, and [performance.md](performance.md) has the engine's own.

${sections.join("\n\n")}
`;
}

function tableOf(
  own: readonly DriverPackage[],
  reports: Readonly<Record<string, StoredReport>>,
  medians: readonly (readonly [string, string])[],
): string {
  const rows = own.map(({ kind, id, path, rank }) => {
    const report = reports[`${kind}/${id}`];
    const link = `[${id}](../${path}/README.md)`;
    const cells = [link, rank === 0 ? "" : String(rank), powersOf(path, report), rulesOf(report)];
    return [...cells, ...medians.map(([, name]) => median(name, report?.medians[name]))];
  });
  return table(["driver", "rank", "powers", "rules", ...medians.map(([head]) => head)], rows);
}

/** Of a driver that has no report, what its README says. */
function powersOf(path: string, report: StoredReport | undefined): string {
  if (report !== undefined) return report.powers.join(", ") || "none";
  const rows = readFileSync(join(root, path, "README.md"), "utf8").matchAll(/^\| `?(\w+)`? \| yes/gm);
  return [...rows].map(([, power]) => power).join(", ") || "none";
}

function rulesOf(report: StoredReport | undefined): string {
  if (report === undefined) return "";
  if (report.unusable !== null) return `not here: ${report.unusable}`;
  const failed = report.failed > 0 ? `, ${report.failed} FAILED` : "";
  return `${report.passed}${report.skipped > 0 ? ` (${report.skipped} skipped)` : ""}${failed}`;
}

function median(name: string, value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return name.startsWith("memory") ? `${(value / 1024).toFixed(1)} MiB` : `${Number(value.toPrecision(2))} ms`;
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`).join("\n");
