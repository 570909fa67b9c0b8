/**
 * The removal of trees with subvolumes, and of what the kernel leaves behind: it frees a subvolume only when nothing uses it any more, and
 * then keeps the quota group (before Linux 6.11 always, later in some cases). So the ids are written down, as names of empty files in
 * `<directory>/groups`, before their subvolumes are removed, and each stays there until its groups are gone, also over a crash.
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
  readonly #groups: string;
  #awaited: readonly number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: RemovalOptions) {
    this.#options = options;
    this.#groups = join(options.directory, "groups");
    mkdirSync(this.#groups, { recursive: true, mode: 0o700 });
    if (readdirSync(this.#groups).length > 0) this.#sweepIn(firstSweep);
  }

  /** Removes the directory of a snapshot, in which `fs` is a subvolume. What is missing is no error. */
  async remove(call: Call, path: string): Promise<void> {
    await removeTree(call, this.#options.host, path, async (ids) => {
      this.#awaited = [...this.#awaited, ...ids].slice(-mostAwaited);
      if ((await this.#options.host.subvolumeQuotas(call, this.#options.directory)) === "off") return;
      for (const id of ids) writeFileSync(join(this.#groups, String(id)), "");
      this.#sweepIn(firstSweep);
    });
  }

  /** Waits until the space of removed trees is free, and removes their quota groups. */
  async settle(call: Call): Promise<void> {
    const ids = this.#awaited;
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
    const ids = readdirSync(this.#groups).map(Number);
    if (ids.length === 0) return 0;
    const held = new Set(await this.#options.host.removeQuotaGroups(call, this.#options.directory, ids));
    for (const id of ids) if (!held.has(id)) rmSync(join(this.#groups, String(id)), { force: true });
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

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Removes a directory in which `fs` may be a subvolume. `remember` gets the ids of subvolumes before they are removed. */
export async function removeTree(
  call: Call,
  host: HostToolkit,
  path: string,
  remember: (ids: readonly number[]) => Promise<void>,
): Promise<void> {
  const tree = join(path, "fs");
  try {
    // A tree at its limit has no room to take away what it holds.
    if (isThere(tree)) await host.limitSubvolume(call, tree, null);
    while (isThere(tree)) {
      const ids = await host.listSubvolumes(call, tree, batch);
      await remember(ids);
      await host.removeSubvolumes(call, path, ids);
    }
  } catch (error) {
    // Another removal of the same tree was faster.
    if (!isTsboxError(error) || error.code !== "NotFound") throw error;
  }
  await host.removeTree(call, path);
}
