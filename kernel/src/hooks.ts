/**
 * Runs the hooks: tapable behind a facade that knows the plugin of each tap. So a plugin can be untapped, which tapable alone can't do,
 * each tap has a deadline, and an error gets its plugin's name.
 */
import tapable from "tapable";
import type { Call, Logger } from "./contract/call.ts";
import type { HookKind, Hooks } from "./contract/hooks.ts";
import { asError, fail } from "./errors/index.ts";
import { type Bound, bounded, defaultGrace, hookLimit } from "./host/guard.ts";

/** The kernel's own hooks. A test compares docs/hooks.md with them. */
export const hookKinds: { readonly [N in keyof Hooks]: Hooks[N]["kind"] } = {
  ready: "observe",
  beforePull: "veto",
  resolveImage: "answer",
  beforeCreate: "veto",
  beforeStart: "veto",
  buildSpec: "change",
  started: "observe",
  beforeExec: "veto",
  exited: "observe",
  beforeRemove: "veto",
  removed: "observe",
  shutdown: "observe",
};

type Handler = (call: Call, ...subject: never[]) => Promise<unknown>;
type Run = (call: Call, ...subject: readonly unknown[]) => Promise<unknown>;
interface Tap {
  readonly plugin: string;
  readonly handler: Handler;
}
/** tapable's waterfall passes on the first argument, so the subject comes before the call. */
interface TapableHook {
  tapPromise(name: string, body: (first: unknown, call: Call, rest: readonly unknown[]) => Promise<unknown>): void;
  promise(first: unknown, call: Call, rest: readonly unknown[]): Promise<unknown>;
}

export class HookRegistry {
  readonly #log: Logger;
  readonly #bound: Omit<Bound, "plugin">;
  /** Every plugin is set up: who provides a hook has said so. */
  #sealed = false;
  readonly #taps = new Map<string, Tap[]>();
  readonly #providers = new Map<string, { readonly plugin: string; readonly kind: HookKind }>();
  readonly #built = new Map<string, TapableHook>();

  /** `bound`: the deadline of one tap. */
  constructor(log: Logger, bound: Omit<Bound, "plugin"> = { limit: hookLimit, grace: defaultGrace }) {
    this.#log = log;
    this.#bound = bound;
  }

  /** Refuses taps of hooks that no plugin provides, those that exist and those to come. */
  seal(): void {
    this.#sealed = true;
    for (const [name, taps] of this.#taps) for (const { plugin } of taps) this.#refuseUnknown(plugin, name);
  }

  #refuseUnknown(plugin: string, name: string): void {
    if (this.#providers.has(name)) return;
    const known = [...this.#providers.keys()].sort().join(", ");
    throw fail("InvalidArgument", `${plugin} taps the hook ${name}, which no plugin provides; there are: ${known}`, { plugin });
  }

  /** The plugin that provides a hook gets the function that calls it. */
  provide<N extends keyof Hooks>(
    plugin: string,
    name: N,
    kind: Hooks[N]["kind"],
  ): (call: Call, ...subject: Hooks[N]["subject"]) => Promise<Hooks[N]["answer"]> {
    const known: HookKind | undefined = hookKinds[name];
    if (known !== undefined && known !== kind)
      throw fail("InvalidArgument", `hook ${name} is of kind ${known}, but ${plugin} provides it as ${kind}`);
    const other = this.#providers.get(name);
    if (other !== undefined)
      throw fail("AlreadyExists", `hook ${name} is provided by ${other.plugin} already; ${plugin} can't provide it too`);
    this.#providers.set(name, { plugin, kind });
    const run: Run = (call, ...subject) => this.#run(name, kind, call, subject);
    return run as (call: Call, ...subject: Hooks[N]["subject"]) => Promise<Hooks[N]["answer"]>;
  }

  tap<N extends keyof Hooks>(
    plugin: string,
    name: N,
    handler: (call: Call, ...subject: Hooks[N]["subject"]) => Promise<Hooks[N]["answer"]>,
  ): void {
    if (this.#sealed) this.#refuseUnknown(plugin, name);
    const taps = this.#taps.get(name) ?? [];
    this.#taps.set(name, [...taps, { plugin, handler: handler as Handler }]);
    this.#built.delete(name);
  }

  /** Removes all taps and hooks of a plugin. Calls that are running continue. */
  untap(plugin: string): void {
    for (const [name, taps] of this.#taps)
      this.#taps.set(
        name,
        taps.filter((tap) => tap.plugin !== plugin),
      );
    for (const [name, provider] of this.#providers) if (provider.plugin === plugin) this.#providers.delete(name);
    this.#built.clear();
  }

  async #run(name: string, kind: HookKind, call: Call, subject: readonly unknown[]): Promise<unknown> {
    const taps = this.#taps.get(name) ?? [];
    const [first, ...rest] = subject;
    if (taps.length === 0) return kind === "change" ? first : undefined;
    let hook = this.#built.get(name);
    if (hook === undefined) {
      hook = this.#build(name, kind, taps);
      this.#built.set(name, hook);
    }
    return hook.promise(first, call, rest);
  }

  #build(name: string, kind: HookKind, taps: readonly Tap[]): TapableHook {
    const hook = makeHook[kind]() as TapableHook;
    for (const { plugin, handler } of taps) {
      hook.tapPromise(plugin, async (first, call, rest) => {
        const late = `${plugin} did not answer the hook ${name}`;
        try {
          return await bounded(call, late, { plugin, ...this.#bound }, (inner) => (handler as Run)(inner, first, ...rest));
        } catch (error) {
          if (kind !== "observe") throw error;
          this.#log.warn(`hook ${name}: ${plugin} threw: ${asError(error).message}`, { hook: name, plugin });
          return undefined;
        }
      });
    }
    return hook;
  }
}

type Parameters = [first: unknown, call: Call, rest: readonly unknown[]];
const parameters: ["first", "call", "rest"] = ["first", "call", "rest"];
const makeHook: Readonly<Record<HookKind, () => unknown>> = {
  observe: () => new tapable.AsyncSeriesHook<Parameters>(parameters),
  veto: () => new tapable.AsyncSeriesHook<Parameters>(parameters),
  answer: () => new tapable.AsyncSeriesBailHook<Parameters, unknown>(parameters),
  change: () => new tapable.AsyncSeriesWaterfallHook<Parameters>(parameters),
};
