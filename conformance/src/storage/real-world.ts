/** A world of real files: the driver's mounts are opened detached by the host's toolkit. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Call, createCall, type HostToolkit, type LayerFile, type StorageDriver, silentLog, withMounts } from "@tsbox/kernel";
import { editDirectory, readDirectory } from "./plain.ts";
import type { StorageWorld } from "./world.ts";

export interface StorageSubject {
  /** Opens the driver over a directory of its own; again over the same one after a crash. */
  open(call: Call, directory: string): Promise<{ readonly driver: StorageDriver; close(): Promise<void> }>;
  readonly host: HostToolkit;
  /** On the file system that the driver is to be tried on. */
  readonly directory: string;
}

export async function makeRealWorld(subject: StorageSubject): Promise<StorageWorld> {
  const { host } = subject;
  const call = createCall(silentLog);
  const base = mkdtempSync(join(subject.directory, "conformance-"));
  const fresh = (name: string): string => mkdtempSync(join(base, `${name}-`));
  const root = join(base, "driver");
  mkdirSync(root);
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
    files: {
      directory: async (edits) => {
        const path = join(fresh("foreign"), "root");
        mkdirSync(path);
        editDirectory(path, edits);
        return path;
      },
      readDirectory,
      newLayer: () => newLayer(fresh("layer")),
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
      for (const each of opened.reverse()) await each.close();
      rmSync(base, { recursive: true, force: true });
    },
  };
}

function newLayer(directory: string): LayerFile {
  return { path: join(directory, "layer.tar"), mediaType: "application/vnd.oci.image.layer.v1.tar" };
}
