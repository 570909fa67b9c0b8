/**
 * Turns a user's seccomp profile (`--security-opt seccomp=FILE`) into the runtime spec's `linux.seccomp`. Docker's profiles can also say
 * for which capabilities, processors and kernels a rule applies. Those conditions are evaluated here, for this container on this host.
 * Source: moby/profiles, `seccomp/seccomp_linux.go`.
 */
import { release } from "node:os";
import { fail } from "@tsbox/kernel";
import type { OciSeccomp, SeccompRule } from "./seccomp.ts";

/** `arches`: Go's names; `minKernel`: `4.8`. */
interface Condition {
  readonly caps?: readonly string[] | null;
  readonly arches?: readonly string[] | null;
  readonly minKernel?: string | null;
}
interface DockerRule {
  readonly name?: string;
  readonly names?: readonly string[] | null;
  readonly action: string;
  readonly errnoRet?: number | null;
  readonly args?: SeccompRule["args"] | null;
  readonly includes?: Condition | null;
  readonly excludes?: Condition | null;
}
interface DockerProfile {
  readonly defaultAction?: unknown;
  readonly defaultErrnoRet?: number | null;
  readonly architectures?: readonly string[] | null;
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures?: readonly string[] | null }[] | null;
  readonly flags?: readonly string[] | null;
  readonly syscalls?: readonly DockerRule[] | null;
}

const goNames: Readonly<Record<string, string>> = {
  x64: "amd64",
  arm64: "arm64",
  ia32: "386",
  arm: "arm",
  s390x: "s390x",
  ppc64: "ppc64le",
};
const seccompNames: Readonly<Record<string, string>> = {
  x64: "SCMP_ARCH_X86_64",
  arm64: "SCMP_ARCH_AARCH64",
  ia32: "SCMP_ARCH_X86",
  arm: "SCMP_ARCH_ARM",
  s390x: "SCMP_ARCH_S390X",
  ppc64: "SCMP_ARCH_PPC64LE",
};

export interface SeccompHost {
  /** Node's name for the processor. */
  readonly machine: string;
  /** `6.1.0-13-amd64` */
  readonly kernel: string;
}

/** `InvalidArgument`: the value is no valid profile. */
export function profileFor(
  given: unknown,
  capabilities: readonly string[],
  host: SeccompHost = { machine: process.arch, kernel: release() },
): OciSeccomp & { readonly flags?: readonly string[] } {
  const profile = given as DockerProfile;
  if (typeof profile.defaultAction !== "string" || (profile.syscalls != null && !Array.isArray(profile.syscalls)))
    throw fail("InvalidArgument", "the seccomp profile has no defaultAction, or its syscalls are no list");
  if (profile.archMap?.length && profile.architectures?.length)
    throw fail("InvalidArgument", "the seccomp profile names both architectures and archMap: leave one of them out");
  const mapped = profile.archMap?.find((entry) => entry.architecture === seccompNames[host.machine]);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet == null ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: mapped ? [mapped.architecture, ...(mapped.subArchitectures ?? [])] : (profile.architectures ?? []),
    ...(profile.flags?.length ? { flags: profile.flags } : {}),
    syscalls: (profile.syscalls ?? []).filter((rule) => applies(rule, capabilities, host)).map(ruleOf),
  };
}

/** All conditions of `includes` must hold, and none of `excludes`. */
function applies({ includes, excludes }: DockerRule, capabilities: readonly string[], { machine, kernel }: SeccompHost): boolean {
  const go = goNames[machine] ?? machine;
  if (includes?.arches?.length && !includes.arches.includes(go)) return false;
  if (includes?.caps?.length && !includes.caps.every((name) => capabilities.includes(name))) return false;
  if (includes?.minKernel && older(kernel, includes.minKernel)) return false;
  if (excludes?.arches?.includes(go)) return false;
  if (excludes?.caps?.some((name) => capabilities.includes(name))) return false;
  return !(excludes?.minKernel && !older(kernel, excludes.minKernel));
}

function ruleOf({ name, names, action, errnoRet, args }: DockerRule): SeccompRule {
  const all = names?.length ? names : name === undefined ? [] : [name];
  if (all.length === 0 || typeof action !== "string")
    throw fail("InvalidArgument", "a rule of the seccomp profile has no names or no action");
  return { names: all, action, ...(errnoRet == null ? {} : { errnoRet }), ...(args?.length ? { args } : {}) };
}

function older(kernel: string, wanted: string): boolean {
  const numbers = (version: string): readonly number[] => (version.match(/^(\d+)\.(\d+)/) ?? []).slice(1).map(Number);
  const [major = 0, minor = 0] = numbers(kernel);
  const [wantedMajor = 0, wantedMinor = 0] = numbers(wanted);
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
}
