/** Pull and unpack. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Contest, compare, run, timed } from "./measure.ts";
import { home, type Peer, tsbox } from "./peers.ts";

/** Pulls that count; one goes before. */
const pulled = 3;

/**
 * Pull and unpack of the Debian that the tests make, from a registry on loopback that both reach. An ext4 without a journal does not give
 * out an inode for minutes after it was freed, and looks at each of them again for every file that it makes: so each pull is of another
 * image, nothing is removed between two, and the images are made on a tmpfs.
 */
export async function pulls(directory: string, ours: Peer, docker: Peer | null): Promise<void> {
  const layout = join(home, ".cache/debian-layout");
  if (!existsSync(layout)) {
    process.stdout.write("\npull and unpack: skipped, since no Debian image is here: run test/e2e/full/debian-image.test.ts once\n");
    return;
  }
  const serve = (address: string, inside: readonly string[]): void => {
    const config = join(directory, `registry-${inside.length}.yml`);
    writeFileSync(
      config,
      JSON.stringify({ version: "0.1", storage: { filesystem: { rootdirectory: join(directory, "registry") } }, http: { addr: address } }),
    );
    const server = spawn(
      inside[0] ?? "docker-registry",
      [...inside.slice(1), ...(inside.length > 0 ? ["docker-registry"] : []), "serve", config],
      { stdio: "ignore" },
    );
    ends.push(() => server.kill("SIGKILL"));
  };
  const ends: (() => void)[] = [];
  const address = "127.0.0.1:5871";
  serve(address, []);
  const dockerd = docker?.pids().find((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("dockerd"));
  // dockerd lives in a network namespace of its own: the same registry listens there too.
  if (dockerd !== undefined) serve(address, ["nsenter", "-t", String(dockerd), "-n"]);
  try {
    await pause(1000);
    const made = mkdtempSync("/dev/shm/tsbox-bench-");
    ends.push(() => rmSync(made, { recursive: true }));
    const [copy, bundle] = [join(made, "variants"), join(made, "variant")];
    run("umoci", ["init", "--layout", copy]);
    run("umoci", ["unpack", "--image", `${layout}:12`, bundle]);
    const tree = join(bundle, "rootfs");
    for (let at = 0; at <= pulled; at += 1) {
      const fresh = join(made, `variant-${at}`);
      run("umoci", ["new", "--image", `${copy}:${at}`]);
      run("umoci", ["unpack", "--image", `${copy}:${at}`, fresh]);
      rmSync(join(fresh, "rootfs"), { recursive: true });
      renameSync(tree, join(fresh, "rootfs"));
      writeFileSync(join(fresh, "rootfs", "variant"), String(at));
      run("umoci", ["repack", "--image", `${copy}:${at}`, fresh]);
      renameSync(join(fresh, "rootfs"), tree);
      run("skopeo", ["copy", "--quiet", "--dest-tls-verify=false", `oci:${copy}:${at}`, `docker://${address}/debian:${at}`]);
    }
    execFileSync("sync");
    const contest = (name: string, command: string, peer: Peer): Contest => {
      let at = 0;
      return { name, work: () => timed(command, ["pull", "-q", `${address}/debian:${at++}`], peer.environment) };
    };
    const all = [contest("tsbox", tsbox, ours), ...(docker ? [contest("docker", "docker", docker)] : [])];
    await compare("pull and unpack of Debian", all, pulled, { docker: 2 });
  } finally {
    for (const end of ends) end();
  }
}
