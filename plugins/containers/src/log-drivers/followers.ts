/** The containers whose log is sent to a driver: one follower each, from the container's start until all of its log is sent. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type Call,
  type Container,
  type ContainerId,
  fail,
  type LogDriver,
  type LogSender,
  type LogSource,
  type ShimLog,
  type Sparse,
  supports,
} from "@tsbox/kernel";
import { Follower } from "./follower.ts";
import { PositionFile } from "./position.ts";
import { sourceOf } from "./source.ts";

/** Milliseconds that records which are on their way have when the engine ends. */
const closeGrace = 1_000;

/** A removed container whose log is still being sent; in a file, so that the next daemon goes on with it. */
interface Leaving {
  readonly source: LogSource;
  readonly sink: string;
  readonly log: ShimLog;
}

/** Opens a log driver by its id. */
interface LogDrivers {
  log(id: string): Promise<LogDriver>;
}

export class Followers {
  readonly #drivers: LogDrivers;
  readonly #call: (options: Sparse<{ timeout: number }>) => Call;
  readonly #followers: Map<ContainerId, Follower> = new Map();
  #closed = false;

  constructor(drivers: LogDrivers, call: (options: Sparse<{ timeout: number }>) => Call) {
    this.#drivers = drivers;
    this.#call = call;
  }

  /** The container runs, or it has ended and something may be left to send. Does nothing for a driver that sends nothing. */
  follow(record: Container): void {
    if (record.log.sent !== true || this.#closed) return;
    const ended = record.status !== "running" && record.status !== "paused";
    const known = this.#followers.get(record.id);
    if (known !== undefined && !known.isOver) known.ended(ended);
    else this.#add(record.id, this.#leavingOf(record), ended);
  }

  /** The container has ended: what it wrote last is in its log. */
  ended(id: ContainerId): void {
    this.#followers.get(id)?.ended(true);
  }

  /**
   * The container is removed. Null: nothing is sent; else its log is needed until the promise resolves, some seconds later at most. False:
   * the engine ends, and the next daemon needs the log.
   */
  leave(record: Container): Promise<boolean> | null {
    if (record.log.sent !== true || this.#closed) return null;
    const leaving = this.#leavingOf(record);
    remember(leaving);
    return this.#leave(leaving);
  }

  /** Goes on with a container that an earlier daemon had removed. `directory`: where its log is. Null: there is nothing to send. */
  recall(directory: string): Promise<boolean> | null {
    const leaving = recalled(directory);
    return leaving === null || this.#closed ? null : this.#leave(leaving);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#followers.values()].map((follower) => follower.close(closeGrace)));
  }

  async #leave(leaving: Leaving): Promise<boolean> {
    const id = leaving.source.container;
    const known = this.#followers.get(id);
    const follower = known === undefined || known.isOver ? this.#add(id, leaving, true) : known;
    return follower.leave();
  }

  #add(id: ContainerId, { source, sink, log }: Leaving, ended: boolean): Follower {
    const before = this.#followers.get(id)?.done;
    const follower = new Follower(
      {
        source,
        sink,
        log,
        position: positionOf(log),
        driver: () => this.#sender(sink),
        call: this.#call,
      },
      ended,
      before ?? null,
    );
    this.#followers.set(id, follower);
    void follower.done.then(() => {
      if (this.#followers.get(id) === follower) this.#followers.delete(id);
    });
    return follower;
  }

  #leavingOf(record: Container): Leaving {
    return { source: sourceOf(this.#call({}), record), sink: record.config.log.driver, log: record.log };
  }

  async #sender(id: string): Promise<LogSender> {
    const driver = await this.#drivers.log(id);
    if (supports(driver, "send")) return driver;
    throw fail("Unsupported", `the log driver ${id} sends nothing any more`);
  }
}

/** Whether the container has ended, and its log was sent to the end: most are, and they need no follower. */
const isSent = ({ status, log }: Container): boolean =>
  status !== "running" && status !== "paused" && log.sent === true && positionOf(log).isWhole();

/** After a daemon's death: goes on with every log that may have something left to send. */
export function followAgain(followers: Followers, records: readonly Container[]): void {
  for (const record of records) if (record.status !== "created" && !isSent(record)) followers.follow(record);
}

const positionOf = ({ path }: ShimLog): PositionFile => new PositionFile(join(dirname(path), "sent"));

const fileOf = (directory: string): string => join(directory, "leaving.json");

/** Without the file only a daemon's death in the next seconds would lose what is left, so a full disk is no reason to fail. */
function remember(leaving: Leaving): void {
  const path = fileOf(dirname(leaving.log.path));
  try {
    writeFileSync(`${path}.new`, JSON.stringify(leaving), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  } catch {
    return;
  }
}

/** Null: the container's log needs no more sending, or it can't be known any more. */
function recalled(directory: string): Leaving | null {
  try {
    return JSON.parse(readFileSync(fileOf(directory), "utf8")) as Leaving;
  } catch {
    return null;
  }
}
