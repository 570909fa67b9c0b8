/**
 * SELinux, for an operator who asks for it (`"selinux": true`, Docker's `selinux-enabled`): each container's processes and files have
 * container-selinux's types, and two random categories keep containers apart. Source of the rules: opencontainers/selinux, moby's
 * `generateSecurityOpt`.
 */
import { randomInt } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { posix } from "node:path";
import { type Call, type Container, type ContainerConfig, fail, type Mount, type SelinuxLabels } from "@tsbox/kernel";
import type { Engine } from "./engine.ts";
import { valuesOf } from "./spec/security.ts";

/** A kernel has it from its boot on, or never. */
export const kernelHasSelinux: boolean = existsSync("/sys/fs/selinux/enforce");

/** A container's labels, for as long as it lives; null: none. `InvalidArgument`: the host's policy does not know them. */
export function selinuxLabels(engine: Pick<Engine, "records" | "selinux">, config: ContainerConfig): SelinuxLabels | null {
  if (!engine.selinux) return null;
  const { ipc, pid } = config.isolation;
  const options = valuesOf(config, "label");
  if (options.includes("disable")) return null;
  // Who is not kept apart from the host is not kept apart by a label either, unless somebody says how.
  if (options.length === 0 && (config.privileged || ipc === "host" || pid === "host")) return null;
  const peer = [ipc, pid].find((mode) => mode.startsWith("container:"))?.slice("container:".length);
  const labels = composeLabels(options, peer === undefined ? null : engine.records.find(peer).selinux);
  for (const label of [labels.process, labels.mount]) check(label);
  return labels;
}

/**
 * By the values of `--security-opt label=`, the last first; who shares another's processes or memory has that one's label. Pure, but for
 * the categories.
 */
export function composeLabels(options: readonly string[], peer: SelinuxLabels | null): SelinuxLabels {
  const first = randomInt(1023);
  const [user = "system_u", role = "system_r", type = "container_t", ...level] = peer?.process.split(":") ?? [];
  const part = (name: string, otherwise: string): string =>
    options.find((option) => option.startsWith(`${name}:`))?.slice(name.length + 1) ?? otherwise;
  const asked = part("level", level.length > 0 ? level.join(":") : `s0:c${first},c${randomInt(first + 1, 1024)}`);
  return {
    process: [part("user", user), part("role", role), part("type", type), asked].join(":"),
    mount: ["system_u:object_r", part("filetype", "container_file_t"), asked].join(":"),
  };
}

/** The kernel answers whether a label is one. */
function check(label: string): void {
  try {
    writeFileSync("/sys/fs/selinux/context", label, { flag: "r+" });
  } catch {
    throw fail(
      "InvalidArgument",
      `${label} is no label of this host's SELinux policy: install container-selinux, correct --security-opt label=…, or say label=disable`,
    );
  }
}

/** A container's own file system, shown with its label: a mount of its own has it as an option, a directory gets it. */
export async function labelled(
  engine: Pick<Engine, "host">,
  call: Call,
  labels: SelinuxLabels | null,
  mounts: readonly Mount[],
): Promise<readonly Mount[]> {
  if (labels === null) return mounts;
  for (const { type, source } of mounts) if (type === "bind") await engine.host.relabel(call, source, labels.mount);
  return mounts.map((mount) => (mount.type === "bind" ? mount : { ...mount, options: [...mount.options, `context=${labels.mount}`] }));
}

/** Whole parts of a host, whose programs would lose what they live from. */
const refused: ReadonlySet<string> = new Set(
  ["", ..."bin boot dev etc home lib lib64 media mnt opt proc root run sbin srv sys tmp usr var var/lib var/log".split(" ")].map(
    (name) => `/${name}`,
  ),
);

/** Files from outside, as their mount's mode says: `z` lets every container have them, `Z` this one alone. */
export async function relabel(engine: Pick<Engine, "host">, call: Call, { selinux }: Container, path: string, mode: string): Promise<void> {
  const words = mode.split(",");
  const everybody = words.includes("z");
  if (selinux === null || (!everybody && !words.includes("Z"))) return;
  if (refused.has(posix.resolve(path)))
    throw fail("InvalidArgument", `SELinux relabeling of ${path} is not allowed: leave z and Z out, or mount a directory below it`);
  await engine.host.relabel(call, path, everybody ? sharedLabel(selinux) : selinux.mount);
}

/** The label of files that every container may have: without categories. */
export function sharedLabel({ mount }: SelinuxLabels): string {
  return [...mount.split(":").slice(0, 3), "s0"].join(":");
}
