/**
 * A bundle for hooks. A hook gets the path of a directory and reads its `config.json`; it changes the container's root (NVIDIA's hooks
 * create links and the linker's cache there). A container without hooks has no bundle. Hooks in the container's namespaces see its root as
 * `rootfs` beside that file, where the runtime mounts it for them.
 */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { OciIdMapping, OciSpec } from "@tsbox/kernel";

/** The annotation that tells the runtime the bundle's directory. */
export const bundleAnnotation = "io.tsbox.bundle";

/** The spec. If it has hooks, it gets the bundle's directory, and `config.json` and the empty `rootfs` are created there. */
export function withBundle(directory: string, spec: OciSpec): OciSpec {
  if (!Object.values(spec.hooks ?? {}).some((list) => Array.isArray(list) && list.length > 0)) return spec;
  mkdirSync(join(directory, "rootfs"), { recursive: true, mode: 0o711 });
  const path = join(directory, "config.json");
  // The file contains the environment, which other users must not read.
  writeFileSync(path, JSON.stringify(spec), { mode: 0o600 });
  // Hooks in the container's namespaces run as the container's root, which must reach the file: its group may enter this directory, and
  // everybody may enter the parent directory, whose entries can't be listed.
  const [uid, gid] = [rootOf(spec.linux?.uidMappings), rootOf(spec.linux?.gidMappings)];
  if (uid !== 0 || gid !== 0) {
    chownSync(path, uid, gid);
    chownSync(directory, 0, gid);
    chmodSync(directory, 0o710);
    chmodSync(dirname(directory), 0o711);
  }
  return { ...spec, annotations: { ...spec.annotations, [bundleAnnotation]: directory } };
}

function rootOf(mappings: unknown): number {
  return ((mappings ?? []) as readonly OciIdMapping[]).find(({ containerID }) => containerID === 0)?.hostID ?? 0;
}
