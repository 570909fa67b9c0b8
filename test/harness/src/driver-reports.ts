/**
 * Runs `tsbox conformance` over every driver of the tree, and stores what docs/drivers.md shows of the reports in docs/drivers.json.
 * `node test/harness/src/driver-reports.ts [KIND/ID…]`, as root: those drivers alone, or all. Run it on a quiet machine: it measures.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountBtrfs } from "./btrfs-disk.ts";

const root = join(import.meta.dirname, "..", "..", "..");
export const storePath: string = join(root, "docs", "drivers.json");

/** What is kept of a report. */
export interface StoredReport {
  readonly powers: readonly string[];
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** The reason why the host of the report can't use the driver; null: it can. */
  readonly unusable: string | null;
  /** Medians, in milliseconds or KiB, by name; null: it could not be measured. */
  readonly medians: Readonly<Record<string, number | null>>;
}

export interface DriverPackage {
  readonly kind: string;
  readonly id: string;
  /** `drivers/storage-overlay` */
  readonly path: string;
  /** 0: none. */
  readonly rank: number;
}

/** The drivers of the tree, by their manifests. */
export function driverPackages(): readonly DriverPackage[] {
  return globSync("drivers/*/package.json", { cwd: root })
    .sort()
    .flatMap((file) => {
      const { tsbox } = JSON.parse(readFileSync(join(root, file), "utf8")) as {
        readonly tsbox: { readonly provides: Readonly<Record<string, string>>; readonly rank?: Readonly<Record<string, number>> };
      };
      return Object.keys(tsbox.provides).map((offer) => {
        const [kind = "", id = ""] = offer.split("/");
        return { kind, id, path: file.slice(0, -"/package.json".length), rank: tsbox.rank?.[offer] ?? 0 };
      });
    });
}

export const readReports = (): Readonly<Record<string, StoredReport>> => JSON.parse(readFileSync(storePath, "utf8"));

/** What the suites need beside the driver's name; `undo` runs afterwards. */
interface Setting {
  readonly words: readonly string[];
  /** Shell commands before the suite. */
  readonly first?: string;
  undo?(): void;
}
const settings: Readonly<Record<string, () => Setting>> = {
  "storage/btrfs": () => {
    const disk = mountBtrfs(2_048);
    return { words: ["--directory", disk.directory], undo: disk.unmount };
  },
  "network/macvlan": () => ({
    words: ["--opt", "parent=par0"],
    first: "ip link add par0 type veth peer name par1 && ip link set par0 up && ip link set par1 up",
  }),
  "network/cni": () => {
    const directory = mkdtempSync(join(tmpdir(), "tsbox-cni-"));
    const ipam = { type: "host-local", dataDir: directory, ranges: [[{ subnet: "10.252.0.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] };
    const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true };
    const conf = join(directory, "points.conflist");
    writeFileSync(conf, JSON.stringify({ name: "points", cniVersion: "1.0.0", plugins: [{ type: "ptp", ipam }, portmap] }));
    return {
      words: ["--opt", `conf=${conf}`, "--config", '{"plugins": ["/usr/lib/cni"]}'],
      undo: () => rmSync(directory, { recursive: true }),
    };
  },
};

interface Report {
  readonly powers: readonly string[];
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly outcomes: readonly { readonly rule: string; readonly result: string; readonly reason: string | null }[];
  readonly performance?: readonly { readonly name: string; readonly milliseconds: number | null; readonly kibibytes?: number }[];
}

/** Null: the kind has no suite. */
function reportOf({ kind, id }: DriverPackage): StoredReport | null {
  const { words: more, first = "true", undo }: Setting = settings[`${kind}/${id}`]?.() ?? { words: [] };
  try {
    const words = ["conformance", kind, id, "--format", "json", "--performance", ...more];
    // Network drivers change links and rules, here in a namespace of their own.
    const around = kind === "network" ? ["unshare", "--net"] : ["env"];
    const script = `${kind === "network" ? "ip link set lo up && " : ""}${first} && exec "$0" "$@"`;
    const [command = "", ...rest] = [...around, "sh", "-c", script, join(root, "build/bin/tsbox"), ...words];
    const { stdout, stderr } = spawnSync(command, rest, { encoding: "utf8", maxBuffer: 1 << 26, timeout: 1_800_000 });
    if (/there is no conformance suite for/.test(stderr)) return null;
    if (stdout === "") throw new Error(`${kind}/${id}: ${stderr}`);
    const { powers, passed, failed, skipped, outcomes, performance = [] } = JSON.parse(stdout) as Report;
    const [opens] = outcomes;
    const medians = performance.map(({ name, milliseconds, kibibytes }) => [name, kibibytes ?? milliseconds] as const);
    return {
      powers,
      passed,
      failed,
      skipped,
      unusable: opens?.result === "skipped" ? opens.reason : null,
      medians: Object.fromEntries(medians),
    };
  } finally {
    undo?.();
  }
}

/** As the formatter of the tree wants it: lists in one line. */
function formatted(reports: Readonly<Record<string, StoredReport>>): string {
  const text = JSON.stringify(reports, null, 2);
  return `${text.replaceAll(/\[\s+([^[\]]*?)\s+\]/g, (_, inside: string) => `[${inside.replaceAll(/\s+/g, " ")}]`)}\n`;
}

if (process.argv[1] === import.meta.filename) {
  const wanted = process.argv.slice(2);
  const stored: Record<string, StoredReport> = { ...readReports() };
  for (const driver of driverPackages()) {
    const name = `${driver.kind}/${driver.id}`;
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const report = reportOf(driver);
    if (report === null) delete stored[name];
    else stored[name] = report;
    process.stderr.write(`${name}: ${report === null ? "no suite" : `${report.passed} passed, ${report.failed} failed`}\n`);
    const sorted = Object.fromEntries(Object.entries(stored).sort(([a], [b]) => (a < b ? -1 : 1)));
    writeFileSync(storePath, formatted(sorted));
  }
}
