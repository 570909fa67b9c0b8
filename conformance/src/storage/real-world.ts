/** A world of real files: the host's toolkit opens the driver's mounts detached. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Call,
  type Change,
  createCall,
  type HostToolkit,
  type LayerFile,
  type Snapshot,
  type StorageDriver,
  silentLog,
  supports,
  withMounts,
} from "@tsbox/kernel";
import { base } from "./edits.ts";
import { heldBelow } from "./held.ts";
import { editDirectory, readDirectory } from "./plain.ts";
import { makeSmallDisk, type SmallDisk, whyNoSmallDisk } from "./small-disk.ts";
import type { StorageWorld } from "./world.ts";

export interface StorageSubject {
  /** Opens the driver with its own directory; after a crash again with the same one. */
  open(call: Call, directory: string): Promise<{ readonly driver: StorageDriver; close(): Promise<void> }>;
  readonly host: HostToolkit;
  /** A directory on the file system to test the driver on. */
  readonly directory: string;
  /** Mebibytes of the smallest disk that the driver works on. */
  readonly leastDisk?: number | undefined;
  /** For a separate process: the driver's module as import() takes it, its id, and the plugin's config. */
  readonly module?: { readonly specifier: string; readonly id: string; readonly config?: unknown } | undefined;
}

export async function makeRealWorld(subject: StorageSubject): Promise<StorageWorld> {
  const { host } = subject;
  const call = createCall(silentLog);
  const directory = mkdtempSync(join(subject.directory, "conformance-"));
  const fresh = (name: string): string => mkdtempSync(join(directory, `${name}-`));
  const root = join(directory, "driver");
  mkdirSync(root);
  const inner: StorageWorld[] = [];
  const disks: SmallDisk[] = [];
  const opened = [await subject.open(call, root)];
  const current = (): StorageDriver => {
    const last = opened.at(-1);
    if (last === undefined) throw new Error("no driver is open");
    return last.driver;
  };
  return {
    get driver() {
      return current();
    },
    get powers() {
      return current().powers;
    },
    call,
    edit: (mounts, edits) => withMounts(call, host, mounts, async (path) => editDirectory(path, edits)),
    read: (mounts) => withMounts(call, host, mounts, async (path) => readDirectory(path)),
    plain: async (...edits) => {
      const path = join(fresh("plain"), "root");
      mkdirSync(path);
      for (const list of edits) editDirectory(path, list);
      return readDirectory(path);
    },
    crash: async () => {
      opened.push(await subject.open(call, root));
    },
    stop: async () => opened.at(-1)?.close(),
    held: async () => heldBelow(root),
    whyNotFull: whyNoSmallDisk(subject.directory, subject.leastDisk),
    small: async (edits) => {
      const disk = makeSmallDisk(subject.directory);
      disks.push(disk);
      const world = await makeRealWorld({ ...subject, directory: disk.directory });
      inner.push(world);
      const path = join(fresh("foreign"), "root");
      mkdirSync(path);
      editDirectory(path, edits);
      const layer = newLayer(fresh("layer"));
      await host.diff(call, null, path, layer);
      return { world, layer, fill: async () => disk.fill(), free: async () => disk.free() };
    },
    files: {
      directory: async (edits) => {
        const path = join(fresh("foreign"), "root");
        mkdirSync(path);
        editDirectory(path, edits);
        return path;
      },
      readDirectory,
      newLayer: () => newLayer(fresh("layer")),
      copy: async (mounts) => {
        const path = join(fresh("copy"), "root");
        await withMounts(call, host, mounts, (root) => host.copyTree(call, root, path));
        return path;
      },
      slowChanges: (lower, upper) =>
        withMounts(call, host, upper, async (root) => {
          const found: Change[] = [];
          for await (const change of await host.changes(call, lower, root)) found.push(change);
          return found.sort((a, b) => (a.path < b.path ? -1 : 1));
        }),
      ...(subject.module === undefined
        ? {}
        : {
            kill: async (verb: string, after: number) => {
              const foreign = join(fresh("foreign"), "root");
              mkdirSync(foreign);
              editDirectory(foreign, base);
              const layer = newLayer(fresh("layer"));
              await host.diff(call, null, foreign, layer);
              const { specifier = "", id = "", config } = subject.module ?? {};
              return killed([specifier, id, root, verb, layer.path, JSON.stringify(config ?? null)], after, fresh("victim"));
            },
          }),
      slowDiff: async (lower, upper) => {
        const into = newLayer(fresh("layer"));
        await withMounts(call, host, upper, (upperRoot) =>
          lower === null
            ? host.diff(call, null, upperRoot, into)
            : withMounts(call, host, lower, (lowerRoot) => host.diff(call, lowerRoot, upperRoot, into)),
        );
        return into;
      },
      slowApply: (mounts, layer) => withMounts(call, host, mounts, async (path) => void (await host.apply(call, path, layer))),
    },
    close: async () => {
      for (const disk of disks) disk.free();
      for (const world of inner) await world.close();
      for (const disk of disks) disk.close();
      // First what may share blocks with the driver's trees: it holds their quota groups.
      for (const name of readdirSync(directory)) if (name !== "driver") rmSync(join(directory, name), { recursive: true, force: true });
      await removeAll(current(), call);
      for (const each of opened.reverse()) await each.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** As an engine would: some trees can't be removed by rm, such as a read-only subvolume. What fails here, rm meets again. */
async function removeAll(driver: StorageDriver, call: Call): Promise<void> {
  try {
    const all: Snapshot[] = [];
    for await (const snapshot of await driver.list(call)) all.push(snapshot);
    const parents = new Map(all.map(({ key, parent }) => [String(key), parent]));
    const depth = (key: string | null): number => (key === null ? 0 : 1 + depth(parents.get(key) ?? null));
    // Children go before their parents.
    for (const { key } of all.sort((a, b) => depth(b.key) - depth(a.key))) await driver.remove(call, key);
    if (supports(driver, "reclaim")) await driver.reclaim(call);
  } catch {
    // A rule may have broken the driver.
  }
}

function newLayer(directory: string): LayerFile {
  return { path: join(directory, "layer.tar"), mediaType: "application/vnd.oci.image.layer.v1.tar" };
}

/** The victim's output until it was killed. `temporary`: for the files that it can't remove any more. */
function killed(words: readonly string[], after: number, temporary: string): Promise<readonly string[]> {
  const child = spawn(
    process.execPath,
    [
      ...process.execArgv,
      fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./victim.ts" : "./victim.js", import.meta.url)),
      ...words,
    ],
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, TMPDIR: temporary },
    },
  );
  let [said, complaint] = ["", ""];
  let timer: NodeJS.Timeout | undefined;
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    timer ??= setTimeout(() => child.kill("SIGKILL"), after);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (_code, signal) => {
      clearTimeout(timer);
      if (signal === "SIGKILL") resolve(said.split("\n").filter(Boolean));
      else reject(new Error(`the process that was to be killed ended by itself: ${complaint}`));
    });
  });
}
