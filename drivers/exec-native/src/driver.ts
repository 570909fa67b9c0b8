/**
 * Containers of the engine's own OCI runtime, which its shim has inside: there is nothing to run beside it and nothing to remember. What a
 * spec asks for is refused by name when the runtime can't do it; the rest goes on as it came.
 */
import type { Bundle, Call, ContainerId, ExecDriver, ExecPowers, Launch, OciLinux, OciSpec } from "@tsbox/kernel";
import type { FilterStore } from "./internal/filter-store.ts";
import { withBundle } from "./internal/hook-bundle.ts";
import { refuseUnknown } from "./internal/known-fields.ts";

/** The file of the compiled filter; the shim reads it where the profile would have been. */
export const filterAnnotation = "io.tsbox.seccomp-filter";

export class NativeDriver implements ExecDriver {
  readonly powers: readonly (keyof ExecPowers)[] = ["processes", "terminal"];
  readonly #filters: FilterStore;

  constructor(filters: FilterStore) {
    this.#filters = filters;
  }

  async plan(call: Call, bundle: Bundle): Promise<Launch> {
    refuseUnknown(bundle.spec);
    return { kind: "oci", spec: withBundle(bundle.directory, await this.#withFilter(call, bundle.spec)) };
  }

  /** The shim ends and cleans up its own; the format keeps nothing. */
  async delete(_call: Call, _id: ContainerId): Promise<void> {}

  async list(): Promise<AsyncIterable<ContainerId>> {
    return nobody();
  }

  async #withFilter(call: Call, spec: OciSpec): Promise<OciSpec> {
    const { seccomp, ...linux }: OciLinux = spec.linux ?? {};
    if (seccomp === undefined || seccomp === null || hasFlags(seccomp)) return spec;
    const path = await this.#filters.path(call, JSON.stringify(seccomp));
    return { ...spec, linux, annotations: { ...spec.annotations, [filterAnnotation]: path } };
  }
}

/** Flags belong to the loading of a program, not to the program. */
function hasFlags(profile: unknown): boolean {
  return typeof profile === "object" && profile !== null && "flags" in profile && Array.isArray(profile.flags) && profile.flags.length > 0;
}

async function* nobody(): AsyncGenerator<never> {}
