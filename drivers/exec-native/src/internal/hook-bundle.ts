/**
 * A bundle for hooks: they are told a directory and read its `config.json`, whose root they change (NVIDIA's make links and the linker's
 * cache there). A container without hooks has none. Hooks in the container's namespaces see its root as `rootfs` beside that file, where
 * the runtime mounts it for them.
 */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { OciIdMapping, OciSpec } from "@tsbox/kernel";

/** Names the directory to the runtime. */
export const bundleAnnotation = "io.tsbox.bundle";

/** The spec, with the bundle's directory in it where there are hooks to be told: then `config.json` and the empty `rootfs` are there. */
export function withBundle(directory: string, spec: OciSpec): OciSpec {
  if (!Object.values(spec.hooks ?? {}).some((list) => Array.isArray(list) && list.length > 0)) return spec;
  mkdirSync(join(directory, "rootfs"), { recursive: true, mode: 0o711 });
  const path = join(directory, "config.json");
  // It has the environment, which is nobody else's to read.
  writeFileSync(path, JSON.stringify(spec), { mode: 0o600 });
  // Hooks of the container's own namespaces run as its root, which must get to the file: its group may pass this directory, and everybody
  // the one above, which shows nothing.
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
