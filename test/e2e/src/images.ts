/** Images made of Debian packages, pushed by a real client to a real registry of the test on loopback. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Case, temporaryDirectory } from "@tsbox/harness";
import { home, until } from "./engine.ts";

/** The reason why tests of images can't run here, or null. */
export function needsTools(...tools: readonly string[]): string | null {
  const missing = tools.filter((tool) => !["/usr/bin", "/usr/sbin", "/bin"].some((folder) => existsSync(join(folder, tool))));
  return missing.length === 0 ? null : `not installed: ${missing.join(", ")} (scripts/packages installs them)`;
}

const run = (command: string, ...args: readonly string[]): string =>
  execFileSync(command, args as string[], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** A layout with an image `bb` of busybox-static. */
export function busyboxLayout(test: Case): string {
  const directory = temporaryDirectory(test, "/var/tmp");
  const [layout, bundle] = [join(directory, "layout"), join(directory, "bundle")];
  run("umoci", "init", "--layout", layout);
  run("umoci", "new", "--image", `${layout}:bb`);
  run("umoci", "unpack", "--image", `${layout}:bb`, bundle);
  const rootfs = join(bundle, "rootfs");
  for (const folder of ["bin", "etc", "root", "tmp", "srv"]) mkdirSync(join(rootfs, folder), { recursive: true });
  run("cp", "/bin/busybox", join(rootfs, "bin/busybox"));
  for (const applet of run("/bin/busybox", "--list").split("\n"))
    if (applet !== "" && applet !== "busybox") run("ln", "-sf", "busybox", join(rootfs, "bin", applet));
  writeFileSync(join(rootfs, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n");
  writeFileSync(join(rootfs, "etc/group"), "root:x:0:\napp:x:1000:\nstaff:x:50:app\n");
  run("umoci", "repack", "--image", `${layout}:bb`, bundle);
  run(
    "umoci",
    "config",
    "--image",
    `${layout}:bb`,
    "--config.cmd",
    "/bin/sh",
    "--config.env",
    "PATH=/bin",
    "--config.env",
    "FROM_IMAGE=yes",
    "--config.workingdir",
    "/srv",
  );
  return layout;
}

/**
 * A Debian by debootstrap, as an OCI archive. It is made once per machine, since it takes a minute. Null if Debian's packages are
 * unavailable.
 */
export function debianLayout(): string | null {
  const cache = join(home, ".cache");
  const layout = join(cache, "debian-layout");
  if (existsSync(join(layout, "made"))) return layout;
  const [tree, bundle] = [join(cache, "debian-tree"), join(cache, "debian-bundle")];
  for (const old of [layout, tree, bundle]) run("rm", "-rf", old);
  mkdirSync(cache, { recursive: true });
  try {
    run("debootstrap", "--variant=minbase", "bookworm", tree);
  } catch {
    return null;
  }
  run("umoci", "init", "--layout", layout);
  run("umoci", "new", "--image", `${layout}:12`);
  run("umoci", "unpack", "--image", `${layout}:12`, bundle);
  run("rm", "-rf", join(bundle, "rootfs"));
  run("sh", "-c", `rm -f ${tree}/var/cache/apt/archives/*.deb`);
  run("mv", tree, join(bundle, "rootfs"));
  run("umoci", "repack", "--image", `${layout}:12`, bundle);
  run("umoci", "config", "--image", `${layout}:12`, "--config.cmd", "bash");
  run("rm", "-rf", bundle);
  writeFileSync(join(layout, "made"), "");
  return layout;
}

export interface Registry {
  readonly address: string;
  readonly directory: string;
  readonly pid: number;
  /** Pushes with skopeo, and returns the digest that it prints. */
  push(layout: string, image: string, name: string): string;
}

/** docker-registry on a free port of loopback; ends with the case. */
export async function registry(test: Case): Promise<Registry> {
  const directory = temporaryDirectory(test, "/var/tmp");
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  writeFileSync(
    join(directory, "config.yml"),
    JSON.stringify({ version: "0.1", storage: { filesystem: { rootdirectory: join(directory, "data") } }, http: { addr: address } }),
  );
  const server = spawn("docker-registry", ["serve", join(directory, "config.yml")], { stdio: "ignore" });
  const ended = new Promise((resolve) => server.on("exit", resolve));
  test.cleanup(async () => {
    server.kill("SIGKILL");
    await ended;
  });
  await until(
    () =>
      fetch(`http://${address}/v2/`)
        .then((answer) => answer.ok)
        .catch(() => false),
    "the registry to listen",
  );
  return {
    address,
    directory,
    pid: server.pid ?? 0,
    push: (layout, image, name) => {
      run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", `oci:${layout}:${image}`, `docker://${address}/${name}`);
      return run("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", `docker://${address}/${name}`).trim();
    },
  };
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
