/** A world of real mounts, which the host's toolkit opens detached. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Call, createCall, type HostToolkit, newContainerId, silentLog, type VolumeDriver, withMounts } from "@tsbox/kernel";
import type { VolumeWorld } from "./world.ts";

export interface VolumeSubject {
  /** Opens the driver over `root` and `state` below its own directory; after a crash again with the same one. */
  open(call: Call, directory: string): Promise<{ readonly driver: VolumeDriver; close(): Promise<void> }>;
  readonly host: HostToolkit;
  /** A directory on the file system to test the driver on. */
  readonly directory: string;
}

export async function makeVolumeWorld({ open, host, directory }: VolumeSubject): Promise<VolumeWorld> {
  const call = createCall(silentLog);
  const base = mkdtempSync(join(directory, "conformance-"));
  const opened = [await open(call, base)];
  const current = (): VolumeDriver => {
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
    users: [newContainerId(), newContainerId(), newContainerId()],
    write: (mount, name, content) => withMounts(call, host, [mount], async (root) => writeFileSync(join(root, name), content)),
    read: (mount) =>
      withMounts(call, host, [mount], async (root) =>
        Object.fromEntries(
          readdirSync(root)
            .sort()
            .map((name) => [name, readFileSync(join(root, name), "utf8")]),
        ),
      ),
    crash: async () => void opened.push(await open(call, base)),
    reboot: async () => {
      rmSync(join(base, "state"), { recursive: true, force: true });
      mkdirSync(join(base, "state"));
      opened.push(await open(call, base));
    },
    onHost: () => mountsBelow(base),
    close: async () => {
      for (const each of opened.reverse()) await each.close();
      const left = mountsBelow(base);
      if (left.length > 0) throw new Error(`still mounted: ${left.join(", ")}`);
      rmSync(base, { recursive: true, force: true });
    },
  };
}

const mountsBelow = (directory: string): readonly string[] =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${directory}/`));
