/**
 * Containers of the engine's own OCI runtime, which is part of the shim: no other process runs, and the driver keeps no records. A field of
 * a spec that the runtime can't carry out is refused by name; the rest is passed on unchanged.
 */
import {
  type Bundle,
  type Call,
  type ContainerId,
  type ExecDriver,
  type ExecPowers,
  fail,
  judgeFields,
  type Launch,
  linuxFields,
  type OciLinux,
  type OciSpec,
} from "@tsbox/kernel";
import type { FilterStore } from "./internal/filter-store.ts";
import { withBundle } from "./internal/hook-bundle.ts";

/** The annotation that names the file of the compiled filter; the shim reads that file instead of the profile. */
export const filterAnnotation = "io.tsbox.seccomp-filter";

export class NativeDriver implements ExecDriver {
  readonly powers: readonly (keyof ExecPowers)[] = ["processes", "terminal"];
  readonly #filters: FilterStore;

  constructor(filters: FilterStore) {
    this.#filters = filters;
  }

  async plan(call: Call, bundle: Bundle): Promise<Launch> {
    judgeFields(bundle.spec, linuxFields, (field, known) => {
      if (known === undefined) throw fail("Unsupported", `the native runtime does not carry out ${field} of an OCI spec; leave it out`);
    });
    return { kind: "oci", spec: withBundle(bundle.directory, await this.#withFilter(call, bundle.spec)) };
  }

  /** The shim ends and cleans up its own processes; this format keeps nothing. */
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

/** Flags are arguments of loading a filter, not a part of its program. */
function hasFlags(profile: unknown): boolean {
  return typeof profile === "object" && profile !== null && "flags" in profile && Array.isArray(profile.flags) && profile.flags.length > 0;
}

async function* nobody(): AsyncGenerator<never> {}
