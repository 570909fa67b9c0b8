/**
 * SELinux labels, if the operator enables them (`"selinux": true`, Docker's `selinux-enabled`). Each container's processes and files get
 * the types of container-selinux, and two random categories separate containers from one another. Source of the rules:
 * opencontainers/selinux, moby's `generateSecurityOpt`.
 */
import { randomInt } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { posix } from "node:path";
import { type Call, type Container, type ContainerConfig, fail, type Mount, type SelinuxLabels } from "@tsbox/kernel";
import type { Engine } from "./engine.ts";
import { valuesOf } from "./spec/security.ts";

/** Read once: a kernel has SELinux from its boot on, or never. */
export const kernelHasSelinux: boolean = existsSync("/sys/fs/selinux/enforce");

/** A container's labels, for its whole life; null: none. `InvalidArgument`: the host's policy does not know them. */
export function selinuxLabels(engine: Pick<Engine, "records" | "selinux">, config: ContainerConfig): SelinuxLabels | null {
  if (!engine.selinux) return null;
  const { ipc, pid } = config.isolation;
  const options = valuesOf(config, "label");
  if (options.includes("disable")) return null;
  // A container that is not isolated from the host gets no label either, unless the user asks for one.
  if (options.length === 0 && (config.privileged || ipc === "host" || pid === "host")) return null;
  const peer = [ipc, pid].find((mode) => mode.startsWith("container:"))?.slice("container:".length);
  const labels = composeLabels(options, peer === undefined ? null : engine.records.find(peer).selinux);
  for (const label of [labels.process, labels.mount]) check(label);
  return labels;
}

/**
 * Composes labels from the values of `--security-opt label=`; the last value takes precedence. A container that shares another's processes
 * or memory gets that container's label. Pure, except for the random categories.
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

/** Asks the kernel whether the label is valid. */
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

/** Labels a container's own file system: a new mount gets the label as an option, a directory is relabeled. */
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

/** Main directories of the host, which are never relabeled: programs of the host would lose access to their files. */
const refused: ReadonlySet<string> = new Set(
  ["", ..."bin boot dev etc home lib lib64 media mnt opt proc root run sbin srv sys tmp usr var var/lib var/log".split(" ")].map(
    (name) => `/${name}`,
  ),
);

/** Relabels files of the host according to the mount's mode: `z` for use by all containers, `Z` for this one only. */
export async function relabel(engine: Pick<Engine, "host">, call: Call, { selinux }: Container, path: string, mode: string): Promise<void> {
  const words = mode.split(",");
  const everybody = words.includes("z");
  if (selinux === null || (!everybody && !words.includes("Z"))) return;
  if (refused.has(posix.resolve(path)))
    throw fail("InvalidArgument", `SELinux relabeling of ${path} is not allowed: leave z and Z out, or mount a directory below it`);
  await engine.host.relabel(call, path, everybody ? sharedLabel(selinux) : selinux.mount);
}

/** The label of files that all containers may use: it has no categories. */
export function sharedLabel({ mount }: SelinuxLabels): string {
  return [...mount.split(":").slice(0, 3), "s0"].join(":");
}
