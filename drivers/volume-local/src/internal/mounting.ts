/**
 * Mounts file systems on the host while a volume is used. mount(8) does it, since it knows the helpers (mount.nfs, mount.cifs), which
 * resolve names.
 */
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { type Call, fail, type HostToolkit } from "@tsbox/kernel";
import type { MountedSource } from "../options.ts";

const environment = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };

const server = "addr=";

export function isMounted(path: string): boolean {
  // mountinfo writes a space, a tab, a newline and a backslash as octal.
  const shown = path.replace(/[ \t\n\\]/g, (letter) => `\\${letter.charCodeAt(0).toString(8).padStart(3, "0")}`);
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[4] === shown);
}

/**
 * `FailedPrecondition` with the error message of mount. With the server as an option (`addr=NAME`, device `:/path`), as Docker's users
 * write it, mount does not call helpers: they take the server from the device, and refuse such a device.
 */
export async function mountAt(call: Call, host: HostToolkit, path: string, { type, device, options }: MountedSource): Promise<void> {
  const words = await Promise.all(
    options.map((word) => (word.startsWith(server) && word !== server ? resolved(word.slice(server.length)) : word)),
  );
  const internal = words.some((word) => word.startsWith(server)) ? ["-i"] : [];
  const argv = ["mount", ...internal, "-t", type, ...(words.length === 0 ? [] : ["-o", words.join(",")]), "--", device, path];
  const { exitCode, stderr } = await host.run(call, { argv, environment, workingDirectory: "/" });
  if (exitCode === 0) return;
  const why = Buffer.from(stderr).toString().trim().split("\n").at(0) ?? "";
  throw fail("FailedPrecondition", `failed to mount local volume: mount ${device}:${path}: ${why || `mount exited ${exitCode}`}`);
}

async function resolved(name: string): Promise<string> {
  try {
    return `${server}${(await lookup(name, { order: "ipv4first" })).address}`;
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    throw fail(
      "FailedPrecondition",
      `error resolving passed in network volume address: ${name}: ${why}; correct addr= in the volume's option "o"`,
    );
  }
}

/** Not mounted is not an error. A mount namespace that has a copy of the mount keeps it. */
export async function unmountAt(call: Call, host: HostToolkit, path: string): Promise<void> {
  for (let rounds = 0; isMounted(path) && rounds < 16; rounds += 1) {
    const { exitCode, stderr } = await host.run(call, { argv: ["umount", "--", path], environment, workingDirectory: "/" });
    if (exitCode !== 0) throw fail("Unavailable", `can't unmount ${path}: ${Buffer.from(stderr).toString().trim()}`);
  }
}
