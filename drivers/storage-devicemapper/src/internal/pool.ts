/**
 * A thin pool and its devices: made, mapped, let go and removed, by one call at a time. The pool is mapped while a device is, and for a
 * while after: a host where no container runs has no device of this driver.
 */
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Call, fail, type HostToolkit, isTsboxError, type MapperRow } from "@tsbox/kernel";
import type { Settings } from "../settings.ts";
import { type Backing, backingOf, checkDisk, mapPool, numberOf, poolName } from "./backing.ts";
import { Numbers } from "./numbers.ts";
import { makePoolId } from "./pool-id.ts";
import { checkRoom, type PoolStatus, parseStatus } from "./pool-status.ts";
import { type DeviceRecord, flush } from "./records.ts";

/** EEXIST, ENODATA and EBUSY of linux/errno.h, as the pool's messages answer them. */
const [exists, noData, busy] = [17, 61, 16];
/** Milliseconds after which a device is let go that nobody has mounted; see `Releases` in the contract. */
const mountTimeout = 60_000;
/** The same for a device of which it is known that it is not needed any more, unless somebody else is about to mount it. */
const releaseTimeout = 2_000;
const sweepInterval = 30_000;
const mapAttempts = 5;

export interface PoolOptions {
  readonly host: HostToolkit;
  readonly directory: string;
  readonly engineId: string;
  readonly settings: Settings;
  readonly makeCall: () => Call;
  /** The devices of all snapshots on disk, unfinished and removed ones included. */
  readonly known: () => readonly DeviceRecord[];
}

export class Pool {
  readonly backing: Backing;
  readonly #options: PoolOptions;
  readonly #host: HostToolkit;
  readonly #numbers: Numbers;
  readonly #prefix: string;
  /** When a device was last mapped for somebody, and whether they have released it since; by its number. */
  readonly #needed = new Map<number, { readonly at: number; released: boolean }>();
  #last: Promise<unknown> = Promise.resolve();
  #recovered = false;
  #timer: NodeJS.Timeout | undefined;
  #due: number = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#host = options.host;
    const own = join(options.directory, "pool");
    this.#numbers = new Numbers(join(own, "numbers.json"));
    this.#prefix = `tsbox-${options.engineId}-${makePoolId(join(own, "id"))}`;
    this.backing = backingOf(options.settings, options.directory);
  }

  /** Runs `work` when all earlier ones have ended, with the pool mapped. */
  run<T>(call: Call, work: () => Promise<T>): Promise<T> {
    return this.#inTurn(call, async () => {
      const pool = await this.#ensure(call);
      try {
        if (!this.#recovered) await this.#recover(call);
        return await work();
      } finally {
        await pool.close();
      }
    });
  }

  #inTurn<T>(call: Call, work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(async () => {
      call.signal.throwIfAborted();
      return work();
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  get name(): string {
    return poolName(this.backing, `${this.#prefix}-pool`);
  }

  #nameOf(number: number): string {
    return `${this.#prefix}-${number}`;
  }

  /** Whether an earlier engine has left devices mapped. */
  async isMapped(call: Call): Promise<boolean> {
    return (await this.#host.mappedDevices(call, `${this.#prefix}-`)).length > 0;
  }

  /** Null: it is not mapped. */
  async status(call: Call): Promise<PoolStatus | null> {
    const found = await this.#host.mappedDevice(call, this.name);
    return found === null ? null : parseStatus(found.status);
  }

  /** Maps the pool, and answers its open node: nobody takes away what is open. */
  async #ensure(call: Call): Promise<FileHandle> {
    const { settings, known } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const found = await this.#host.mappedDevice(call, this.name);
      if (found === null) {
        if (this.backing.kind === "pool")
          throw fail("Unavailable", `storage-devicemapper: the pool ${this.backing.data} is not active: activate it (lvchange -ay)`);
        await mapPool(call, this.#host, this.name, this.backing, settings, known().length === 0);
      } else if (found.suspended) await this.#host.resumeDevice(call, this.name);
      this.#sweepIn(sweepInterval);
      try {
        return await open(`/dev/mapper/${this.name}`, "r");
      } catch (error) {
        // Somebody else has let it go in between, or has taken its node alone: what exists is mapped by its name, whatever its row.
        if (attempt >= mapAttempts) throw error;
        await this.#host.mapDevice(call, this.name, { sectors: 0, target: "thin-pool", parameters: "" }).catch(() => undefined);
      }
    }
  }

  /** Removes what no snapshot knows, of the kernel's mapped devices and in the pool: an engine died, or the power failed. */
  async #recover(call: Call): Promise<void> {
    const known = new Set(this.#options.known().map(({ number }) => number));
    if (this.backing.kind === "pool") await this.#refuseForeign(call, known.size > 0);
    for (const name of await this.#host.mappedDevices(call, `${this.#prefix}-`)) {
      const number = Number(name.slice(this.#prefix.length + 1));
      if (Number.isNaN(number)) continue;
      const found = await this.#host.mappedDevice(call, name);
      if (found?.suspended) await this.#host.resumeDevice(call, name);
      if (known.has(number)) this.#needed.set(number, { at: Date.now(), released: false });
      else await this.#host.unmapDevice(call, name);
    }
    for (const number of this.#numbers.begin(known)) await this.#delete(call, number);
    await this.#numbers.swept();
    this.#recovered = true;
  }

  /** A pool that others use, too, would lose their devices. One that makes its writers wait when it is full would hang containers. */
  async #refuseForeign(call: Call, isOurs: boolean): Promise<void> {
    const status = await this.status(call);
    if (status === null) return;
    const { data } = this.backing;
    if (!isOurs && status.data.used > 0)
      throw fail("FailedPrecondition", `storage-devicemapper: the pool ${data} has devices already: make one for this engine alone`);
    if (!status.errorsWhenFull)
      throw fail(
        "FailedPrecondition",
        `storage-devicemapper: the pool ${data} lets its writers wait when it is full: run lvchange --errorwhenfull y`,
      );
  }

  /** Takes a number for a new device. */
  take(): Promise<number> {
    return this.#numbers.take();
  }

  /** Makes a device that begins with the contents of `origin`; null: an empty one. */
  async make(call: Call, number: number, origin: number | null): Promise<void> {
    const status = await this.status(call);
    if (status !== null) checkRoom(status);
    checkDisk(this.backing);
    const message = origin === null ? `create_thin ${number}` : `create_snap ${number} ${origin}`;
    const isMapped = origin !== null && (await this.#host.mappedDevice(call, this.#nameOf(origin))) !== null;
    const send = (): Promise<void> =>
      this.#host.messageDevice(call, this.name, message, isMapped ? { suspended: this.#nameOf(origin) } : {});
    try {
      await send();
    } catch (error) {
      if (!hasErrno(error, exists)) throw error;
      // Of an engine that a power cut has made forget it.
      await this.#delete(call, number);
      await send();
    }
  }

  /** Maps a device, and answers the path of its node. */
  async map(call: Call, { number, sectors }: DeviceRecord, readOnly = false): Promise<string> {
    this.#needed.set(number, { at: Date.now(), released: false });
    return this.#host.mapDevice(call, this.#nameOf(number), await this.#row(call, number, sectors), { readOnly });
  }

  /** Makes a mapped device larger. */
  async grow(call: Call, { number, sectors }: DeviceRecord): Promise<void> {
    await this.#host.reloadDevice(call, this.#nameOf(number), await this.#row(call, number, sectors));
  }

  async #row(call: Call, number: number, sectors: number): Promise<MapperRow> {
    const pool = await this.#host.mappedDevice(call, this.name);
    if (pool === null) throw fail("Unavailable", "the thin pool was taken away from outside of the engine");
    return { sectors, target: "thin", parameters: `${numberOf(pool.path)} ${number}` };
  }

  /** Whether a device is mounted, or open in another way. */
  async isInUse(call: Call, number: number): Promise<boolean> {
    return ((await this.#host.mappedDevice(call, this.#nameOf(number)))?.openCount ?? 0) > 0;
  }

  /** Writes what was written to a device to the disk. Maps it for the moment if it is not mapped. */
  async flush(call: Call, record: DeviceRecord): Promise<void> {
    const isMapped = (await this.#host.mappedDevice(call, this.#nameOf(record.number))) !== null;
    const path = await this.map(call, record);
    await flush(path);
    if (!isMapped) await this.unmap(call, record.number);
  }

  /** `later`: it is in use, and is unmapped by its last user. */
  async unmap(call: Call, number: number): Promise<"gone" | "later"> {
    this.#needed.delete(number);
    return this.#host.unmapDevice(call, this.#nameOf(number));
  }

  /** Whoever had a device mounted needs it no more. */
  release(number: number): void {
    const needed = this.#needed.get(number);
    if (needed === undefined) return;
    needed.released = true;
    this.#sweepIn(releaseTimeout);
  }

  /** Unmaps a device if nobody has it mounted, or soon will. */
  async #letGo(call: Call, number: number, timeout: number): Promise<void> {
    // What this driver has neither mapped nor found is somebody else's.
    const needed = this.#needed.get(number);
    if (needed === undefined) return;
    const { at, released } = needed;
    if (Date.now() - at < Math.min(timeout, released ? releaseTimeout : timeout)) return;
    const found = await this.#host.mappedDevice(call, this.#nameOf(number));
    if (found?.openCount === 0) await this.unmap(call, number);
  }

  /** Removes a device with its contents. False: it is in use. */
  async remove(call: Call, record: DeviceRecord): Promise<boolean> {
    if (await this.isInUse(call, record.number)) {
      await this.unmap(call, record.number);
      return false;
    }
    // A pool that has no room, or is read-only, still has to let go of its devices.
    if (this.backing.kind === "loop") await this.#discard(call, record).catch(() => undefined);
    if ((await this.unmap(call, record.number)) === "later") return false;
    return this.#delete(call, record.number);
  }

  /** The blocks that no other device shares go back to the file system below the pool: `delete` alone keeps them for the pool. */
  async #discard(call: Call, record: DeviceRecord): Promise<void> {
    await this.#host.discardDevice(call, await this.map(call, record));
  }

  async #delete(call: Call, number: number): Promise<boolean> {
    try {
      await this.#host.messageDevice(call, this.name, `delete ${number}`);
    } catch (error) {
      if (hasErrno(error, busy)) return false;
      if (!hasErrno(error, noData)) throw error;
    }
    this.#numbers.free(number);
    return true;
  }

  /** Lets go of all devices that nobody has mounted for `timeout` milliseconds, and of the pool after the last one. */
  async sweep(call: Call, timeout: number = mountTimeout): Promise<void> {
    await this.#inTurn(call, async () => {
      for (const number of await this.#mapped(call)) await this.#letGo(call, number, timeout);
      if ((await this.#mapped(call)).length > 0 || this.backing.kind === "pool") return;
      if ((await this.#host.mappedDevice(call, this.name))?.openCount === 0) await this.#host.unmapDevice(call, this.name);
    });
  }

  async #mapped(call: Call): Promise<readonly number[]> {
    const names = await this.#host.mappedDevices(call, `${this.#prefix}-`);
    return names.map((name) => Number(name.slice(this.#prefix.length + 1))).filter((number) => !Number.isNaN(number));
  }

  /** A sweep that is due earlier takes the place of a later one. */
  #sweepIn(milliseconds: number): void {
    const due = Date.now() + milliseconds;
    if (this.#closed || due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(async () => {
      this.#due = Number.POSITIVE_INFINITY;
      const call = this.#options.makeCall();
      try {
        await this.sweep(call);
        if (!(await this.isMapped(call))) return;
      } catch (error) {
        // The engine ends: its close lets go.
        if (call.signal.aborted) return;
        call.log.warn(`unused thin devices could not be let go: ${String(error)}`);
      }
      const isWaiting = [...this.#needed.values()].some(({ released }) => released);
      this.#sweepIn(isWaiting ? releaseTimeout : sweepInterval);
    }, milliseconds).unref();
  }

  /** Lets everything go that nobody uses. What containers use stays, and the next engine finds it. */
  async close(call: Call): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.sweep(call, 0);
  }

  /** Waits until a device is not in use any more. False: it still is. */
  async awaitUnused(call: Call, number: number, milliseconds: number): Promise<boolean> {
    for (const end = Date.now() + milliseconds; await this.isInUse(call, number); ) {
      if (Date.now() > end) return false;
      await pause(20, undefined, { signal: call.signal });
    }
    return true;
  }
}

function hasErrno(error: unknown, errno: number): boolean {
  return isTsboxError(error) && error.errno === errno;
}
