/**
 * The published text of each contract: its declarations without comments, below `kernel/contracts/`, with the version at the top. A test
 * compares them with the sources, so that no contract changes without a new version. `node kernel/test/contracts.ts --write` writes those
 * whose version was raised.
 */
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { contractVersions } from "../src/contract/versions.ts";

const sources = join(import.meta.dirname, "../src/contract");
const published = join(import.meta.dirname, "../contracts");

/** The files of each contract, below `kernel/src/contract/`. */
const filesOf: Readonly<Record<string, readonly string[]>> = {
  kernel: ["plugin", "driver", "call", "error", "hooks", "words", "oci-resources", "services/index"],
  storage: ["storage"],
  exec: ["exec"],
  network: ["network"],
  registry: ["registry"],
  volume: ["volume"],
  log: ["log"],
  engine: ["engine"],
  host: ["host", "host-block", "host-btrfs", "host-network"],
  launcher: ["launcher"],
  content: ["services/content"],
  images: ["services/images"],
  containers: ["services/containers", "services/health", "services/mounts", "services/migration"],
  networks: ["services/networks"],
  volumes: ["services/volumes"],
  files: ["services/files"],
  events: ["services/events"],
  state: ["services/state"],
  api: ["services/api", "services/api-files", "services/api-json", "services/api-sessions", "services/api-storage"],
};

export interface Text {
  readonly version: string;
  /** The declarations of each file. */
  readonly declarations: string;
}

/** What the sources say. */
export function current(): ReadonlyMap<string, Text> {
  return new Map(
    Object.entries(contractVersions).map(([name, version]) => {
      const files = filesOf[name] ?? [];
      return [name, { version, declarations: files.map((file) => `${file}.ts\n${declarationsOf(file)}`).join("\n") }];
    }),
  );
}

/** What was published; null: nothing yet. */
export function frozen(name: string): Text | null {
  const path = join(published, `${name}.txt`);
  if (!existsSync(path)) return null;
  const [first = "", ...rest] = readFileSync(path, "utf8").split("\n\n");
  return { version: first.split(" ")[1] ?? "", declarations: rest.join("\n\n") };
}

/** The contracts' source files that no contract, or more than one, consists of. */
export function misplaced(): readonly string[] {
  const all = globSync("**/*.ts", { cwd: sources }).map((path) => path.slice(0, -3));
  const placed = Object.values(filesOf).flat();
  return all.filter((path) => path !== "versions" && placed.filter((one) => one === path).length !== 1);
}

/** Contract files hold types alone, so their text without comments is what a driver is compiled against. */
function declarationsOf(file: string): string {
  return readFileSync(join(sources, `${file}.ts`), "utf8")
    .replaceAll(/\/\*\*?[\s\S]*?\*\//g, "")
    .replaceAll(/^\s*\/\/.*$/gm, "")
    .replaceAll(/\s*\n/g, "\n")
    .replaceAll(/^\n/g, "");
}

if (import.meta.main && process.argv.includes("--write")) {
  mkdirSync(published, { recursive: true });
  for (const [name, text] of current()) {
    const before = frozen(name);
    if (before?.declarations === text.declarations && before.version === text.version) continue;
    if (before?.version === text.version) {
      console.error(
        `contract ${name} differs from its version ${text.version}: raise the version in kernel/src/contract/versions.ts first`,
      );
      process.exitCode = 1;
    } else writeFileSync(join(published, `${name}.txt`), `${name} ${text.version}\n\n${text.declarations}`);
  }
}
