/** The state of one plugin in the engine's list, from its manifest to what it has opened. */
import type { Call, Logger } from "../contract/call.ts";
import type { Plugin, Probe, Provider } from "../contract/plugin.ts";
import { fail, type TsboxError } from "../errors/index.ts";
import type { LoadedManifest } from "./manifest.ts";
import { stamped } from "./stamp.ts";

export interface LoadedPlugin {
  readonly manifest: LoadedManifest;
  readonly name: string;
  readonly log: Logger;
  readonly module: Plugin;
  /** `storage/overlay` or `images` → the offer that opens it. */
  readonly offers: Map<string, Offer>;
}

/** The answer of a probe. `unsure`: why the probe could not tell. */
export type Answer = Probe & { readonly unsure: TsboxError | null };

/**
 * A service or driver that a plugin provides. It is probed once and opened once. A failure to open is not kept, so that it may be tried
 * again.
 */
export class Offer {
  readonly name: string;
  readonly plugin: string;
  readonly #provider: Provider<unknown>;
  #probe: Promise<Answer> | undefined;
  #opened: Promise<unknown> | undefined;

  constructor(name: string, plugin: string, provider: Provider<unknown>) {
    this.name = name;
    this.plugin = plugin;
    this.#provider = provider;
  }

  /** The error of the last probe or open. Null: there was none. */
  failure: string | null = null;

  /** Probes once: what this host can do does not change while the engine runs. Only a probe that could not tell is repeated. */
  async probe(call: Call): Promise<Answer> {
    this.#probe ??= this.#ask(call);
    const answer = await this.#probe;
    if (answer.unsure !== null) this.#probe = undefined;
    return answer;
  }

  async #ask(call: Call): Promise<Answer> {
    if (this.#provider.probe === undefined) return { usable: true, unsure: null };
    try {
      return { ...(await this.#provider.probe(call)), unsure: null };
    } catch (thrown) {
      const failure = stamped(thrown, this.plugin, call);
      this.failure = failure.message;
      const unsure = failure.code === "ResourceExhausted" ? failure : null;
      return { usable: false, reason: this.failure, hint: null, unsure };
    }
  }

  /**
   * `needs` opens what the provider needs, and `make` opens the provider itself. Throws `Unsupported` with the probe's reason if this host
   * can't use it.
   */
  open(call: Call, needs: () => Promise<void>, make: (provider: Provider<unknown>) => Promise<unknown>): Promise<unknown> {
    this.#opened ??= this.#make(call, needs, make).catch((thrown: unknown) => {
      this.#opened = undefined;
      throw stamped(thrown, this.plugin, call);
    });
    return this.#opened;
  }

  async #make(call: Call, needs: () => Promise<void>, make: (provider: Provider<unknown>) => Promise<unknown>): Promise<unknown> {
    await needs();
    const probe = await this.probe(call);
    if (!probe.usable) throw probe.unsure ?? notUsable(this, probe);
    try {
      const opened = await make(this.#provider);
      this.failure = null;
      return opened;
    } catch (thrown) {
      this.failure = stamped(thrown, this.plugin, call).message;
      throw thrown;
    }
  }

  async close(call: Call, opened: unknown): Promise<void> {
    this.#opened = undefined;
    try {
      await this.#provider.close?.(call, opened);
    } catch (thrown) {
      throw stamped(thrown, this.plugin, call);
    }
  }
}

/** A refusal that names what this host lacks. */
function notUsable(offer: Offer, probe: Probe & { readonly usable: false }): Error {
  return fail("Unsupported", `${offer.name} can't be used here: ${probe.reason}${probe.hint === null ? "" : `; ${probe.hint}`}`, {
    plugin: offer.plugin,
  });
}
