/** `--security-opt` in the runtime spec's terms: seccomp, labels of AppArmor and SELinux, masked and read-only paths. */
import { type ContainerConfig, fail, type SelinuxLabels } from "@tsbox/kernel";
import { maskedPaths, readonlyPaths } from "./defaults.ts";
import { seccompFor } from "./seccomp.ts";
import { profileFor } from "./seccomp-profile.ts";

type Secured = Pick<ContainerConfig, "privileged" | "securityOptions" | "maskedPaths" | "readonlyPaths">;

/** Values of one key, last first: `no-new-privileges`, `seccomp=…`. */
export function valuesOf({ securityOptions }: Secured, key: string): readonly string[] {
  return securityOptions
    .filter((option) => option === key || option.startsWith(`${key}=`))
    .map((option) => option.slice(key.length + 1))
    .reverse();
}

export function noNewPrivileges(config: Secured): boolean {
  const [last] = valuesOf(config, "no-new-privileges");
  return last === "" || last === "true";
}

/** Undefined: no filter. */
export function seccompOf(config: Secured, capabilities: readonly string[]): unknown {
  const [asked] = valuesOf(config, "seccomp");
  if (asked === "unconfined" || (config.privileged && asked === undefined)) return undefined;
  if (asked === undefined || asked === "builtin") return seccompFor(capabilities);
  return profileFor(JSON.parse(asked), capabilities);
}

/** A privileged container has no masked or read-only paths, and neither has one with `systempaths=unconfined`. */
export function hiddenPaths(config: Secured): { readonly maskedPaths?: readonly string[]; readonly readonlyPaths?: readonly string[] } {
  if (config.privileged || valuesOf(config, "systempaths").includes("unconfined")) return {};
  return { maskedPaths: config.maskedPaths ?? maskedPaths, readonlyPaths: config.readonlyPaths ?? readonlyPaths };
}

export interface Labels {
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
  readonly mountLabel?: string;
}

/** What the security modules of this host provide for a container. */
export interface LabelModules {
  /** Null: AppArmor is off. Else the profile of containers that ask for none. */
  readonly apparmor: { readonly defaultProfile: string } | null;
  readonly selinux: SelinuxLabels | null;
}

/** Whether the container runs without AppArmor, so that no profile is needed. */
export const withoutAppArmor = (config: Secured): boolean => {
  const [profile] = valuesOf(config, "apparmor");
  return profile === undefined ? config.privileged : profile === "unconfined";
};

/** Refuses a named profile that can't be applied: a container must not run with less protection than requested. */
export function labelsOf(config: Secured, modules: LabelModules): Labels {
  const [asked] = valuesOf(config, "apparmor");
  const profile = withoutAppArmor(config) ? undefined : (asked ?? modules.apparmor?.defaultProfile);
  if (profile !== undefined && modules.apparmor === null)
    throw fail(
      "FailedPrecondition",
      `AppArmor profile ${profile} can't be applied: AppArmor is not enabled on this host; leave it out, or say apparmor=unconfined`,
    );
  return {
    ...(profile === undefined ? {} : { apparmorProfile: profile }),
    ...(modules.selinux === null ? {} : { selinuxLabel: modules.selinux.process, mountLabel: modules.selinux.mount }),
  };
}
