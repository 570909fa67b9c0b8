/**
 * The name of a plugin's directory below the root and the state directory. It says what the plugin provides, not how the list names it, so
 * a driver keeps its data when its package moves. Older engines named it after the entry in the list; such a directory is renamed.
 */
import { existsSync, readdirSync, renameSync, rmdirSync } from "node:fs";
import { asError, fail } from "../errors/index.ts";
import type { LoadedManifest } from "./manifest.ts";

/** What else an engine has in its root directory. */
const taken = ["cache", "plugins"];

/**
 * One offer: the driver's kind and id, or the service (`storage-overlay`, `images`). Several or none: the name that the operator gave the
 * entry, else the package's own. Throws if two plugins would share one.
 */
export function directoryNames(manifests: readonly LoadedManifest[]): ReadonlyMap<LoadedManifest, string> {
  const names = new Map<LoadedManifest, string>();
  const owners = new Map<string, LoadedManifest>();
  for (const manifest of manifests) {
    const name = directoryName(manifest);
    const plugin = manifest.entry.name;
    if (taken.includes(name) || /^\.{0,2}$/.test(name))
      throw fail("InvalidArgument", `${plugin} can't have the directory ${JSON.stringify(name)}, which the engine uses itself`, { plugin });
    const other = owners.get(name);
    if (other !== undefined)
      throw fail("AlreadyExists", `${other.entry.name} and ${plugin} both have the directory ${name}: give one of them another "name"`, {
        plugin,
      });
    owners.set(name, manifest);
    names.set(manifest, name);
  }
  return names;
}

function directoryName({ entry, provides, packageName }: LoadedManifest): string {
  const [offer, ...others] = Object.keys(provides);
  if (offer !== undefined && others.length === 0) return plain(offer.replace("/", "-"));
  return plain(entry.name === entry.package ? packageName : entry.name);
}

/** The name of an offer, entry or package as one component of a path. */
export function plain(name: string): string {
  return name.replace(/^@tsbox\//, "").replaceAll("/", "+");
}

/**
 * Renames the directory of an older engine. The rename is one step of the file system, so whatever kills the engine leaves either the old
 * name or the new one. An empty directory gives way. If both have content, nobody can say which one counts: `FailedPrecondition`.
 */
export function adoptDirectory(former: string, current: string, plugin: string): void {
  if (!existsSync(former)) return;
  try {
    if (existsSync(current) && readdirSync(current).length > 0) {
      if (readdirSync(former).length > 0)
        throw fail(
          "FailedPrecondition",
          `${plugin} has its data in ${current}, and older data in ${former}: move away the one that is not wanted`,
          { plugin },
        );
      rmdirSync(former);
    } else renameSync(former, current);
  } catch (thrown) {
    const { code } = asError(thrown) as NodeJS.ErrnoException;
    if (code !== "EBUSY" && code !== "EXDEV") throw thrown;
    throw fail("FailedPrecondition", `${former} is to be called ${current} now, but something is mounted on it: mount that on ${current}`, {
      plugin,
      cause: thrown,
    });
  }
}
