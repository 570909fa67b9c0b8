/** One service or driver of a plugin: what is known of its probe, and what is open. */
import type { Call } from "../contract/call.ts";
import type { Probe } from "../contract/plugin.ts";
import { fail, type TsboxError } from "../errors/index.ts";
import type { PluginHandle } from "./handle.ts";
import { stamped } from "./stamp.ts";

/** The answer of a probe. `unsure`: why the probe could not tell. */
export type Answer = Probe & { readonly unsure: TsboxError | null };

/** Milliseconds after which a host that could not use a driver is asked again: a program or a module may have been installed. */
const askAgain = 10_000;

/**
 * A service or driver that a plugin provides. It is opened once. A failure to open is not kept, so that it may be tried again, and a probe
 * that says no is repeated after a while.
 */
export class Offer {
  readonly name: string;
  readonly plugin: string;
  readonly #handle: PluginHandle;
  readonly #lookLimit: number;
  /** The probe that runs, or whose answer still counts. */
  #probe: Promise<Answer> | undefined;
  #known: Answer | undefined;
  #opened: Promise<unknown> | undefined;

  /** `handle` has deadlines; `lookLimit`: milliseconds for which a list of drivers waits for the probe's first answer. */
  constructor(name: string, plugin: string, handle: PluginHandle, lookLimit: number) {
    this.name = name;
    this.plugin = plugin;
    this.#handle = handle;
    this.#lookLimit = lookLimit;
  }

  /** The error of the last probe or open. Null: there was none. */
  failure: string | null = null;

  /**
   * Whether this host can use it. A yes counts while the engine runs, a no and a missing answer for ten seconds, and a lack of room not at
   * all.
   */
  probe(call: Call): Promise<Answer> {
    this.#probe ??= this.#ask(call).then((answer) => {
      this.#known = answer;
      const forget = (): void => {
        this.#probe = undefined;
      };
      if (answer.unsure?.code === "ResourceExhausted") forget();
      else if (!answer.usable) setTimeout(forget, askAgain).unref();
      return answer;
    });
    return this.#probe;
  }

  /** As `probe`, for lists: the last answer if there is one, and at most a second of waiting if there is none. */
  async look(call: Call): Promise<Answer> {
    const asking = this.probe(call);
    if (this.#known !== undefined) return this.#known;
    const { promise: late, resolve } = Promise.withResolvers<Answer>();
    const seconds = this.#lookLimit / 1000;
    const timer = setTimeout(
      () => resolve({ usable: false, reason: `${this.name} has not answered its probe for ${seconds} s`, hint: null, unsure: null }),
      this.#lookLimit,
    );
    try {
      return await Promise.race([asking, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask(call: Call): Promise<Answer> {
    try {
      const answer = await this.#handle.probe(call, this.name);
      this.failure = null;
      return { ...answer, unsure: null };
    } catch (thrown) {
      const failure = stamped(thrown, this.plugin, call);
      this.failure = failure.message;
      const unsure = failure.code === "ResourceExhausted" || failure.code === "DeadlineExceeded" ? failure : null;
      return { usable: false, reason: this.failure, hint: null, unsure };
    }
  }

  /**
   * `needs` opens what the provider needs; `made` checks the opened value, and answers what its callers see. Throws `Unsupported` with the
   * probe's reason if this host can't use it.
   */
  open(call: Call, needs: () => Promise<void>, made: (opened: unknown) => unknown): Promise<unknown> {
    this.#opened ??= this.#open(call, needs, made).catch((thrown: unknown) => {
      this.#opened = undefined;
      const failure = stamped(thrown, this.plugin, call);
      // To the callers of a driver NotFound means that what they name is gone, and may be forgotten.
      if (failure.code === "NotFound") throw fail("DriverMissing", `${this.name} can't be opened: ${failure.message}`, { cause: failure });
      throw failure;
    });
    return this.#opened;
  }

  async #open(call: Call, needs: () => Promise<void>, made: (opened: unknown) => unknown): Promise<unknown> {
    await needs();
    const probe = await this.probe(call);
    if (!probe.usable) throw probe.unsure ?? notUsable(this, probe);
    try {
      const opened = await this.#handle.open(call, this.name);
      try {
        const shown = made(opened);
        this.failure = null;
        return shown;
      } catch (thrown) {
        // It is refused. Its own error on closing would say less.
        await this.close(call, opened).catch(() => {});
        throw thrown;
      }
    } catch (thrown) {
      this.failure = stamped(thrown, this.plugin, call).message;
      throw thrown;
    }
  }

  async close(call: Call, opened: unknown): Promise<void> {
    this.#opened = undefined;
    await this.#handle.close(call, this.name, opened);
  }
}

/** A refusal that names what this host lacks. */
function notUsable(offer: Offer, probe: Probe & { readonly usable: false }): Error {
  return fail("Unsupported", `${offer.name} can't be used here: ${probe.reason}${probe.hint === null ? "" : `; ${probe.hint}`}`, {
    plugin: offer.plugin,
  });
}
