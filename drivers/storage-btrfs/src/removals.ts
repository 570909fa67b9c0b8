/**
 * The removal of trees with subvolumes, and of what the kernel leaves behind: it frees a subvolume only when nothing uses it any more, and
 * then keeps the quota group: before Linux 6.11 always, later as long as other files share blocks that the subvolume has written. So the
 * ids are written down, as names of empty files in `<directory>/groups`, before their subvolumes are removed. Each stays there until its
 * groups are gone, also over a crash.
 */
import { lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Call, type HostToolkit, isTsboxError } from "@tsbox/kernel";

/** The subvolumes of a tree that are removed at once: a container may make any number of them. */
const batch = 1_024;
/** The removed subvolumes that `settle` waits for: the last ones. */
const mostAwaited = 4_096;
/** A container that has just ended may hold its mounts for a moment. */
const patienceSeconds = 10;
/** Milliseconds until the groups of removed subvolumes are looked at again; doubled while the kernel holds some. */
const firstSweep = 2_000;
const lastSweep = 60_000;

export interface RemovalOptions {
  readonly host: HostToolkit;
  readonly directory: string;
  /** Makes the calls for background work. */
  readonly makeCall: () => Call;
}

export class Removals {
  readonly #options: RemovalOptions;
  #awaited: readonly number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: RemovalOptions) {
    this.#options = options;
    makeGroups(options.directory);
    if (notedGroups(options.directory).length > 0) this.#sweepIn(firstSweep);
  }

  /** Removes the directory of a snapshot, in which `fs` is a subvolume. What is missing is no error. */
  async remove(call: Call, path: string): Promise<void> {
    const { host, directory } = this.#options;
    await removeTree(call, host, directory, path, (ids) => {
      this.#awaited = [...this.#awaited, ...ids].slice(-mostAwaited);
      this.#sweepIn(firstSweep);
    });
  }

  /** Waits until the space of removed trees is free, and removes their quota groups. */
  async settle(call: Call): Promise<void> {
    // An earlier engine may have removed some, too.
    const ids = [...new Set([...this.#awaited, ...notedGroups(this.#options.directory)])];
    try {
      await this.#options.host.awaitSubvolumes(call, this.#options.directory, ids, patienceSeconds);
      this.#awaited = this.#awaited.filter((id) => !ids.includes(id));
    } catch (error) {
      if (!isTsboxError(error) || error.code !== "DeadlineExceeded") throw error;
      call.log.warn(error.message);
    }
    await this.#sweep(call);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#sweeping.catch(() => undefined);
  }

  /** Answers how many groups the kernel still holds. */
  async #sweep(call: Call): Promise<number> {
    const { host, directory } = this.#options;
    const ids = notedGroups(directory);
    if (ids.length === 0) return 0;
    const held = new Set(await host.removeQuotaGroups(call, directory, ids));
    for (const id of ids) if (!held.has(id)) rmSync(groupPath(directory, id), { force: true });
    return held.size;
  }

  #sweepIn(milliseconds: number): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const call = this.#options.makeCall();
      this.#sweeping = this.#sweep(call).then(
        (held) => held > 0 && this.#sweepIn(Math.min(milliseconds * 2, lastSweep)),
        (error: unknown) => {
          // The engine ends: the next one goes on.
          if (call.signal.aborted) return;
          call.log.warn(`quota groups of removed snapshots could not be removed: ${String(error)}`);
          this.#sweepIn(lastSweep);
        },
      );
    }, milliseconds).unref();
  }
}

function groupPath(directory: string, id: number): string {
  return join(directory, "groups", String(id));
}

function makeGroups(directory: string): void {
  mkdirSync(join(directory, "groups"), { recursive: true, mode: 0o700 });
}

function notedGroups(directory: string): readonly number[] {
  return readdirSync(join(directory, "groups")).map(Number);
}

async function noteGroups(call: Call, host: HostToolkit, directory: string, ids: readonly number[]): Promise<void> {
  if ((await host.subvolumeQuotas(call, directory)) === "off") return;
  makeGroups(directory);
  for (const id of ids) writeFileSync(groupPath(directory, id), "");
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/**
 * Removes the directory `path`, in which `fs` may be a subvolume. The quota groups that are left are noted below `directory`. `removing`
 * gets the ids of subvolumes before they are removed.
 */
export async function removeTree(
  call: Call,
  host: HostToolkit,
  directory: string,
  path: string,
  removing: (ids: readonly number[]) => void = () => undefined,
): Promise<void> {
  const tree = join(path, "fs");
  try {
    // A tree at its limit has no room to take away what it holds.
    if (isThere(tree)) await host.limitSubvolume(call, tree, null);
    while (isThere(tree)) {
      const ids = await host.listSubvolumes(call, tree, batch);
      removing(ids);
      await noteGroups(call, host, directory, ids);
      await host.removeSubvolumes(call, directory, ids);
    }
  } catch (error) {
    // Another removal of the same tree was faster.
    if (!isTsboxError(error) || error.code !== "NotFound") throw error;
  }
  await host.removeTree(call, path);
}
