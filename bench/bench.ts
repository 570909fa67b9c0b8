/**
 * Ratios to dockerd and runc on this host, in one run: `node --conditions=tsbox-source bench/bench.ts [--runs N] [--only
 * containers,output,idle,pulls] [--directory DIR]`, as root, after scripts/setup and scripts/packages. Both engines store their files on a
 * new ext4 (filesystem.ts), or below DIR, and their state directories are on a tmpfs. Commands are timed as whole processes. Use the
 * ratios, not the absolute numbers: hosts differ and are noisy.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { containers } from "./containers.ts";
import { freshFileSystem } from "./filesystem.ts";
import { idle } from "./idle.ts";
import { run } from "./measure.ts";
import { output } from "./output.ts";
import { runcBundle, startDocker, startTsbox, tsbox } from "./peers.ts";
import { pulls } from "./pulls.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "40" },
    only: { type: "string", default: "containers,output,idle,pulls" },
    directory: { type: "string" },
  },
});
const runs = Number(values.runs);
const wanted = new Set(values.only.split(","));
const files = values.directory === undefined ? freshFileSystem("/var/lib") : null;
const directory = mkdtempSync(join(files?.directory ?? values.directory ?? "", "tsbox-bench-"));

/** busybox-static as a root and as an archive that both engines load. */
function images(): { readonly rootfs: string; readonly archive: string } {
  const [layout, bundle, archive] = ["layout", "image", "bb.tar"].map((name) => join(directory, name)) as [string, string, string];
  run("umoci", ["init", "--layout", layout]);
  run("umoci", ["new", "--image", `${layout}:bb`]);
  run("umoci", ["unpack", "--image", `${layout}:bb`, bundle]);
  const rootfs = join(bundle, "rootfs");
  for (const folder of ["bin", "proc", "sys", "dev", "etc"]) mkdirSync(join(rootfs, folder), { recursive: true });
  run("cp", ["/bin/busybox", join(rootfs, "bin/busybox")]);
  for (const applet of ["sh", "true", "sleep", "cat", "echo", "dd", "seq"]) run("ln", ["-sf", "busybox", join(rootfs, "bin", applet)]);
  run("umoci", ["repack", "--image", `${layout}:bb`, bundle]);
  run("skopeo", ["copy", "--quiet", `oci:${layout}:bb`, `docker-archive:${archive}:bb:1`]);
  return { rootfs, archive };
}

const stops: (() => Promise<void> | void)[] = [];
try {
  const { rootfs, archive } = images();
  const ours = await startTsbox(directory);
  stops.push(() => ours.stop());
  run(tsbox, ["load", "-i", archive], ours.environment);
  const docker = await startDocker(directory);
  if (docker) {
    stops.push(() => docker.stop());
    run("docker", ["load", "-i", archive], docker.environment);
  }
  const bundle = runcBundle(directory, rootfs);
  if (bundle) stops.push(() => bundle.stop());
  if (wanted.has("containers")) await containers(bundle, ours, docker, runs);
  if (wanted.has("output")) await output(ours, docker);
  if (wanted.has("idle")) {
    process.stdout.write("\nmemory of the engine's own processes for one more idle container (PSS, 30 of them; goal 100 KiB)\n");
    await idle("tsbox", ours, tsbox);
    if (docker) await idle("docker", docker, "docker");
  }
  if (wanted.has("pulls")) await pulls(directory, ours, docker);
} finally {
  for (const stop of stops.reverse()) await stop();
  spawnSync("umount", ["-R", directory], { stdio: "ignore" });
  rmSync(directory, { recursive: true, force: true });
  files?.remove();
}
