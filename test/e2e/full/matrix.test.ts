/** `run` and one container's life again over each driver that is not the host's choice: an operator picks it, and nothing else changes. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { needsBusybox } from "../src/busybox.ts";
import { binary, home } from "../src/engine.ts";
import { needsTools } from "../src/images.ts";

const test = suite("every driver", { timeout: 1_800_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();
const drivers = [
  [{ exec: "oci" }, needsTools("runc")],
  [{ exec: "lxc" }, needsTools("lxc-start")],
  [{ storage: "vfs" }, null],
] as const;

for (const [choice, missing] of drivers)
  test.skipIf(reason ?? missing, `run and a container's life with ${JSON.stringify(choice)}`, async () => {
    const files = ["run", "life"].map((name) => join(home, `test/e2e/cases/${name}.test.ts`));
    const words = ["--conditions=tsbox-source", "--disable-warning=ExperimentalWarning", join(home, "test/harness/src/run.ts")];
    const child = spawn(process.execPath, [...words, "--jobs", "1", "--timeout", "800", ...files], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, TSBOX_TEST_DRIVERS: JSON.stringify(choice) },
    });
    let printed = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (printed += text));
    const code = await new Promise((resolve) => child.once("close", resolve));
    assert.is(code, 0, printed);
    assert.match(printed, /^1\d passed, 0 failed, 0 skipped$/m);
  });
