/** Pull and unpack. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Contest, compare, run, timed } from "./measure.ts";
import { home, type Peer, tsbox } from "./peers.ts";

/** The number of measured pulls; one more precedes them. */
const pulled = 3;

/**
 * Pulls and unpacks the Debian image of the tests, from a registry on loopback that both engines reach. An ext4 without a journal does not
 * reuse an inode for minutes after it was freed, and checks each such inode for every new file. So each pull is of another image, nothing
 * is removed between two pulls, and the images are made on a tmpfs.
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
  // dockerd is in a separate network namespace, so the same registry also listens there.
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
