/** A layer of whiteouts over files that a throw-away copy of a machine must not contain: secrets, homes, the engine's own directories. */
import { lstat, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fail } from "@tsbox/kernel";
import { pack } from "tar-stream";

/** Files that are hidden; a `*` stands for any part of a name. */
const secretFiles = [
  "etc/shadow",
  "etc/shadow-",
  "etc/gshadow",
  "etc/gshadow-",
  "etc/krb5.keytab",
  "etc/ssh/ssh_host_*_key",
  "etc/docker/key.json",
];
/** Directories that appear empty. */
const secretDirectories = [
  "root",
  "home",
  "etc/ssl/private",
  "etc/wireguard",
  "etc/letsencrypt",
  "var/lib/private",
  "var/lib/sudo",
  "var/spool/cron",
];

/** The layer as a plain tar. `hidden`: further directories by absolute path, as far as they are below `directory`. */
export async function maskLayer(directory: string, hidden: readonly string[]): Promise<Uint8Array> {
  const found = await lstat(directory).catch(() => null);
  if (!found?.isDirectory()) throw fail("NotFound", `host:${directory}: no such directory on this machine`);
  const prefix = directory.endsWith("/") ? directory : `${directory}/`;
  const engine = hidden.filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
  const archive = pack();
  const parts: Uint8Array[] = [];
  archive.on("data", (part: unknown) => parts.push(part as Uint8Array));
  const done = new Promise((resolve, reject) => archive.on("end", () => resolve(null)).on("error", reject));
  const written = new Set<string>();
  for (const path of await present(directory, secretFiles)) {
    await parents(archive, directory, dirname(path), written);
    archive.entry({ name: join(dirname(path), `.wh.${basename(path)}`), mode: 0, mtime: new Date(0) }, "");
  }
  for (const path of await present(directory, [...secretDirectories, ...engine])) {
    if (!(await lstat(join(directory, path))).isDirectory()) continue;
    await parents(archive, directory, path, written);
    archive.entry({ name: join(path, ".wh..wh..opq"), mode: 0, mtime: new Date(0) }, "");
  }
  archive.finalize();
  await done;
  return Buffer.concat(parts);
}

/**
 * A directory in a layer replaces the merged directory's attributes, so each has its own mode and owner there. Its time is left out, since
 * it changes with every file that is created in the directory: the image would be another one each time, with a new layer to unpack.
 */
async function parents(archive: ReturnType<typeof pack>, directory: string, path: string, written: Set<string>): Promise<void> {
  if (path === "." || path === "" || written.has(path)) return;
  await parents(archive, directory, dirname(path), written);
  written.add(path);
  const { mode, uid, gid } = await lstat(join(directory, path));
  archive.entry({ name: `${path}/`, type: "directory", mode: mode & 0o7777, uid, gid, mtime: new Date(0) });
}

async function present(directory: string, patterns: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pattern of patterns) {
    const names = await readdir(join(directory, dirname(pattern))).catch(() => []);
    const form = new RegExp(
      `^${basename(pattern)
        .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
        .replace(/\*/g, ".*")}$`,
    );
    found.push(
      ...names
        .filter((name) => form.test(name))
        .sort()
        .map((name) => join(dirname(pattern), name)),
    );
  }
  return found;
}
