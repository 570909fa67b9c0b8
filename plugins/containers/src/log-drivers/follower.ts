/**
 * Sends the log of one container to its driver, for as long as there is something to send. It waits for a sink that does not answer, and
 * nobody waits for it: the container writes to its own file.
 */
import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import {
  asError,
  type Call,
  createCall,
  fail,
  isTsboxError,
  type LogSender,
  type LogSource,
  type ShimLog,
  type Sparse,
} from "@tsbox/kernel";
import { isOfLog } from "../logs/read.ts";
import type { Position, PositionFile } from "./position.ts";
import { type Batch, Reader } from "./reader.ts";

export interface Followed {
  readonly source: LogSource;
  /** The driver's id, for messages. */
  readonly sink: string;
  readonly log: ShimLog;
  readonly position: PositionFile;
  driver(): Promise<LogSender>;
  call(options: Sparse<{ timeout: number }>): Call;
}

/** Milliseconds for one call of the driver. */
const callTimeout = 15_000;
/** Milliseconds between two tries: the first, and the longest. */
const firstPause = 250;
const longestPause = 30_000;
/** Milliseconds that the rest of a removed container's log has. */
export const leaveTimeout = 5_000;
/** How often the log is looked at, in milliseconds, where it can't be watched. */
const lookEvery = 1_000;
/** Milliseconds that counting what was not sent may take. */
const countTimeout = 2_000;

export class Follower {
  /** Resolves when nothing is left to send, or the follower is closed. */
  readonly done: Promise<void>;
  readonly #followed: Followed;
  readonly #reader: Reader;
  readonly #closing = new AbortController();
  /** The call that is with the driver. */
  #sending: AbortController | null = null;
  #acknowledged: Position | null = null;
  #isOpen = false;
  /** When the sink stopped taking records. */
  #failingSince: number | null = null;
  #pause = firstPause;
  #ended: boolean;
  #leaving = false;
  #stopped = false;
  #isOver = false;
  #changed = false;
  #watcher: { close(): void } | null = null;
  #wake: () => void = () => {};

  /** `ended`: the container does not run, so the end of its log is the end. `before`: an earlier follower of the container ends first. */
  constructor(followed: Followed, ended: boolean, before: Promise<void> | null) {
    this.#followed = followed;
    this.#ended = ended;
    this.#reader = new Reader(followed.log, (time) => this.#reportLost(time));
    const abort = (): void => {
      this.#sending?.abort(closed());
      this.#wake();
    };
    this.#closing.signal.addEventListener("abort", abort, { once: true });
    this.done = this.#run(before);
  }

  /** It looks at the log no more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The container has ended, or it runs again. */
  ended(ended: boolean): void {
    this.#ended = ended;
    this.#look();
  }

  /** The container is removed: what is not sent in time is lost, and counted. False: the follower was closed before. */
  async leave(): Promise<boolean> {
    this.#ended = true;
    this.#leaving = true;
    this.#pause = firstPause;
    this.#changed = true;
    this.#wake();
    const timer = setTimeout(() => this.#closing.abort(), leaveTimeout);
    await this.done;
    clearTimeout(timer);
    return !this.#stopped;
  }

  /** Sends no more, but waits a moment for records that are on their way. */
  async close(grace: number): Promise<void> {
    this.#stopped = true;
    this.#wake();
    const timer = setTimeout(() => this.#closing.abort(), grace);
    await this.done;
    clearTimeout(timer);
  }

  async #run(before: Promise<void> | null): Promise<void> {
    try {
      await before;
      this.#acknowledged = this.#followed.position.read();
      // A daemon that dies from now on leaves something to send.
      if (this.#acknowledged !== null && !this.#ended) this.#keep(this.#acknowledged);
      await this.#reader.seek(this.#acknowledged);
      while (!this.#stopped && !this.#closing.signal.aborted) {
        // Both are asked before the log is read: what comes later is seen by the next round.
        const ended = this.#ended;
        this.#changed = false;
        if (!ended) this.#watcher ??= this.#watch();
        const batch = (await this.#reader.next()) ?? (ended ? this.#reader.rest() : null);
        if (batch !== null) await this.#deliver(batch);
        else if (!ended) await this.#untilChanged();
        else if (this.#ended && !this.#changed) {
          if (this.#acknowledged !== null) this.#keep(this.#acknowledged, true);
          break;
        }
      }
    } catch (error) {
      this.#warn(`can't read the log of container ${this.#followed.source.name}: ${asError(error).message}`);
    } finally {
      this.#isOver = true;
      this.#watcher?.close();
      await this.#finish();
    }
  }

  async #deliver({ records, after }: Batch): Promise<void> {
    if (this.#acknowledged === null && this.#reader.first !== null) this.#keep(this.#reader.first);
    try {
      await this.#send((driver, call) => driver.write(call, this.#followed.source.container, records));
      this.#keep(after);
      this.#recovered();
    } catch (error) {
      this.#failed(error);
      await this.#reader.close();
      await this.#untilRetry();
      await this.#reader.seek(this.#acknowledged);
    }
  }

  async #send(work: (driver: LogSender, call: Call) => Promise<void>): Promise<void> {
    const driver = await this.#followed.driver();
    // Signal and timer end with the batch. A call with a timeout keeps all that belongs to it until then, and a signal that depends on the
    // engine's own as long as the engine lives.
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(fail("DeadlineExceeded", `no answer within ${callTimeout / 1000} s`)), callTimeout);
    this.#sending = controller;
    if (this.#closing.signal.aborted) controller.abort(closed());
    try {
      const call = createCall(this.#call().log, { signal: controller.signal });
      if (!this.#isOpen)
        await driver.open(call, this.#followed.source).catch((error: unknown) => {
          if (!isTsboxError(error) || error.code !== "AlreadyExists") throw error;
        });
      this.#isOpen = true;
      await work(driver, call);
    } finally {
      clearTimeout(timer);
      this.#sending = null;
    }
  }

  #keep(position: Position, isWhole = false): void {
    this.#acknowledged = position;
    try {
      this.#followed.position.write(position, isWhole);
    } catch (error) {
      this.#warn(
        `can't note how far the log of ${this.#followed.source.name} was sent: ${asError(error).message}; lines may be sent twice`,
      );
    }
  }

  #failed(error: unknown): void {
    if (this.#closing.signal.aborted || this.#stopped) return;
    // The driver was opened anew.
    if (isTsboxError(error) && error.code === "NotFound") this.#isOpen = false;
    if (this.#failingSince === null)
      this.#warn(
        `the log of container ${this.#followed.source.name} waits for ${this.#followed.sink}: ${asError(error).message}; ` +
          "it is sent when that takes it again",
      );
    this.#failingSince ??= Date.now();
  }

  #recovered(): void {
    this.#pause = firstPause;
    if (this.#failingSince === null) return;
    const seconds = Math.round((Date.now() - this.#failingSince) / 1000);
    this.#failingSince = null;
    const { source, sink } = this.#followed;
    this.#call().log.info(`the log of container ${source.name} goes on to ${sink}, after ${seconds} s`, short(source));
  }

  async #untilRetry(): Promise<void> {
    if (this.#stopped) return;
    const pause = this.#pause * (0.75 + Math.random() / 2);
    if (!this.#leaving) this.#pause = Math.min(longestPause, this.#pause * 2);
    await this.#sleep(pause);
  }

  async #untilChanged(): Promise<void> {
    if (!this.#changed && !this.#stopped) await this.#sleep(null);
  }

  /** Until the wake-up, or for some milliseconds. */
  async #sleep(milliseconds: number | null): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = milliseconds === null ? null : setTimeout(resolve, milliseconds);
    await promise;
    if (timer !== null) clearTimeout(timer);
    this.#wake = () => {};
  }

  /** There may be more to read. A pause between two tries goes on. */
  #look(): void {
    this.#changed = true;
    if (this.#failingSince === null) this.#wake();
  }

  #watch(): { close(): void } {
    const { log } = this.#followed;
    try {
      const watcher: FSWatcher = watch(dirname(log.path), (_, name) => {
        if (name === null || isOfLog(log, name)) this.#look();
      });
      // A watch that breaks says nothing of the log any more.
      watcher.on("error", () => {
        watcher.close();
        if (!this.#isOver) this.#watcher = this.#lookAgainAndAgain();
      });
      return watcher;
    } catch {
      return this.#lookAgainAndAgain();
    }
  }

  #lookAgainAndAgain(): { close(): void } {
    const timer = setInterval(() => this.#look(), lookEvery);
    return { close: () => clearInterval(timer) };
  }

  async #finish(): Promise<void> {
    const { source, position } = this.#followed;
    const lost = this.#leaving && !this.#stopped && this.#closing.signal.aborted ? await this.#countRest() : null;
    await this.#reader.close();
    position.close();
    if (lost !== null && lost !== "0")
      this.#warn(
        `${lost} lines of the removed container ${source.name} are lost: ${this.#followed.sink} did not take them within ${leaveTimeout / 1000} s`,
      );
    if (!this.#isOpen) return;
    try {
      const driver = await this.#followed.driver();
      await driver.close(this.#followed.call({ timeout: callTimeout }), source.container);
    } catch (error) {
      if (!isTsboxError(error) || error.code !== "NotFound") this.#warn(`can't end the log of ${source.name}: ${asError(error).message}`);
    }
  }

  async #countRest(): Promise<string> {
    let lines = 0;
    const until = Date.now() + countTimeout;
    await this.#reader.seek(this.#acknowledged);
    for (;;) {
      const batch = (await this.#reader.next()) ?? this.#reader.rest();
      if (batch === null) return String(lines);
      lines += batch.records.filter(({ partial }) => partial === null || partial.last).length;
      if (Date.now() > until) return `more than ${lines}`;
    }
  }

  #reportLost(before: bigint | null): void {
    const { source, sink } = this.#followed;
    const time = before === null ? "now" : new Date(Number(before / 1_000_000n)).toISOString();
    this.#warn(
      `output of container ${source.name} from before ${time} is lost for ${sink}: its log was rotated before ${sink} took it; ` +
        "give more room with cache-max-size and cache-max-file",
    );
  }

  #warn(text: string): void {
    this.#call().log.warn(text, short(this.#followed.source));
  }

  #call(): Call {
    return this.#followed.call({});
  }
}

const closed = (): Error => fail("Canceled", "the log is not sent any more");

const short = ({ container }: LogSource): Readonly<Record<string, unknown>> => ({ container: container.slice(0, 12) });
