/**
 * The shortest implementation of the exec contract: every spec is passed unchanged to the engine's own runtime, and there is no state. The
 * broken drivers are based on it.
 */
import { type Bundle, type Call, type ContainerId, type ExecDriver, type ExecPowers, fail, type Launch, type OciSpec } from "@tsbox/kernel";
import { streamOf } from "./storage.ts";

/** The members of `linux` that the rules and the runtime know. */
const known = [
  "namespaces",
  "uidMappings",
  "gidMappings",
  "resources",
  "cgroupsPath",
  "devices",
  "sysctl",
  "maskedPaths",
  "readonlyPaths",
  "seccomp",
];

export class ReferenceExec implements ExecDriver {
  readonly powers: readonly (keyof ExecPowers)[] = ["processes", "terminal"];

  async plan(_call: Call, { spec }: Bundle): Promise<Launch> {
    this.check(spec);
    return { kind: "oci", spec };
  }

  async delete(_call: Call, _id: ContainerId): Promise<void> {}

  async list(): Promise<AsyncIterable<ContainerId>> {
    return streamOf([]);
  }

  protected check(spec: OciSpec): void {
    const unknown = Object.keys(spec.linux ?? {}).find((field) => !known.includes(field));
    if (unknown !== undefined) throw fail("Unsupported", `linux.${unknown} is not carried out; leave it out`);
  }
}
