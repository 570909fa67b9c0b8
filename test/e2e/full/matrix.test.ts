/** `run` and one container's life again over each driver that is not the host's choice: an operator picks it, and nothing else changes. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Case, mountBtrfs, needsRoot, suite, temporaryDirectory, whyNoBtrfs } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, home } from "../src/engine.ts";
import { needsTools } from "../src/images.ts";

const test = suite("every driver", { timeout: 1_800_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();
/** Where the engines' roots are, and what they take for this machine. */
type Place = (t: Case) => Readonly<Record<string, string>>;
const anywhere: Place = () => ({});
/** Some storage drivers copy what they adopt, and this machine may be large. */
const small: Place = (t) => {
  const root = join(temporaryDirectory(t, "/var/tmp"), "machine");
  mkdirSync(root);
  execFileSync("tar", ["-C", root, "-x"], { input: busyboxTar(t) });
  return { TSBOX_TEST_MACHINE: `host:${root}` };
};
const onBtrfs: Place = (t) => {
  const disk = mountBtrfs(4_096);
  t.cleanup(disk.unmount);
  return { ...small(t), TSBOX_TEST_ROOT: disk.directory };
};
const drivers = [
  [{ exec: "oci" }, needsTools("runc"), anywhere],
  [{ exec: "lxc" }, needsTools("lxc-start"), anywhere],
  [{ storage: "vfs" }, null, small],
  [{ storage: "btrfs" }, whyNoBtrfs(), onBtrfs],
] as const;

for (const [choice, missing, place] of drivers)
  test.skipIf(reason ?? missing, `run and a container's life with ${JSON.stringify(choice)}`, async (t) => {
    const files = ["run", "life"].map((name) => join(home, `test/e2e/cases/${name}.test.ts`));
    const words = ["--conditions=tsbox-source", "--disable-warning=ExperimentalWarning", join(home, "test/harness/src/run.ts")];
    const child = spawn(process.execPath, [...words, "--jobs", "1", "--timeout", "800", ...files], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...place(t), TSBOX_TEST_DRIVERS: JSON.stringify(choice) },
    });
    let printed = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (printed += text));
    const code = await new Promise((resolve) => child.once("close", resolve));
    assert.is(code, 0, printed);
    assert.match(printed, /^1\d passed, 0 failed, 0 skipped$/m);
  });
