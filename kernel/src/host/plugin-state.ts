/** The state of one plugin in the engine's list, from its manifest to what it has opened. */
import type { Call, Logger } from "../contract/call.ts";
import type { Plugin, Probe, Provider } from "../contract/plugin.ts";
import { fail, type TsboxError } from "../errors/index.ts";
import { bounded, closeLimit, defaultGrace, defaultLimit, probeLimit } from "./guard.ts";
import type { LoadedManifest } from "./manifest.ts";
import { stamped } from "./stamp.ts";

export interface LoadedPlugin {
  readonly manifest: LoadedManifest;
  readonly name: string;
  readonly log: Logger;
  readonly module: Plugin;
  /** Its package's directory without links, as it is in stacks of errors. */
  readonly home: string;
  /** `storage/overlay` or `images` → the offer that opens it. */
  readonly offers: Map<string, Offer>;
}

/** The answer of a probe. `unsure`: why the probe could not tell. */
export type Answer = Probe & { readonly unsure: TsboxError | null };

/** Milliseconds for the work of an offer. */
export interface OfferLimits {
  readonly probe: number;
  /** How long a list of drivers waits for a probe's first answer. */
  readonly look: number;
  readonly open: number;
  readonly close: number;
  readonly grace: number;
}
export const offerLimits: OfferLimits = { probe: probeLimit, look: 1_000, open: defaultLimit, close: closeLimit, grace: defaultGrace };

/** Milliseconds after which a host that could not use a driver is asked again: a program or a module may have been installed. */
const askAgain = 10_000;

/**
 * A service or driver that a plugin provides. It is opened once. A failure to open is not kept, so that it may be tried again, and a probe
 * that says no is repeated after a while.
 */
export class Offer {
  readonly name: string;
  readonly plugin: string;
  readonly #provider: Provider<unknown>;
  readonly #limits: OfferLimits;
  /** The probe that runs, or whose answer still counts. */
  #probe: Promise<Answer> | undefined;
  #known: Answer | undefined;
  #opened: Promise<unknown> | undefined;

  constructor(name: string, plugin: string, provider: Provider<unknown>, limits: OfferLimits = offerLimits) {
    this.name = name;
    this.plugin = plugin;
    this.#provider = provider;
    this.#limits = limits;
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
    const seconds = this.#limits.look / 1000;
    const timer = setTimeout(
      () => resolve({ usable: false, reason: `${this.name} has not answered its probe for ${seconds} s`, hint: null, unsure: null }),
      this.#limits.look,
    );
    try {
      return await Promise.race([asking, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask(call: Call): Promise<Answer> {
    const { probe } = this.#provider;
    if (probe === undefined) return { usable: true, unsure: null };
    try {
      const answer = await this.#bounded(call, "probe", this.#limits.probe, (inner) => probe.call(this.#provider, inner));
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
    let given = false;
    try {
      const opened = await this.#bounded(call, "open", this.#limits.open, async (inner) => {
        const value = await this.#provider.open(inner);
        // Its caller has the error of a work that is overdue, and nobody else would close it.
        if (given) await this.#provider.close?.(inner, value);
        return value;
      });
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
      given = true;
      this.failure = stamped(thrown, this.plugin, call).message;
      throw thrown;
    }
  }

  async close(call: Call, opened: unknown): Promise<void> {
    this.#opened = undefined;
    await this.#bounded(call, "close", this.#limits.close, async (inner) => this.#provider.close?.(inner, opened));
  }

  #bounded<T>(call: Call, what: string, limit: number, work: (call: Call) => T | Promise<T>): Promise<T> {
    return bounded(call, `${this.name} did not answer ${what}`, { plugin: this.plugin, limit, grace: this.#limits.grace }, work);
  }
}

/** A refusal that names what this host lacks. */
function notUsable(offer: Offer, probe: Probe & { readonly usable: false }): Error {
  return fail("Unsupported", `${offer.name} can't be used here: ${probe.reason}${probe.hint === null ? "" : `; ${probe.hint}`}`, {
    plugin: offer.plugin,
  });
}
