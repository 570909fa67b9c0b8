// npm runs this in a package's directory before it packs it. The package is compiled from nothing: so its tarball is never empty, and holds
// nothing of sources that are gone. The licence is put beside it.
import { spawnSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
rmSync("dist", { recursive: true, force: true });
const { status, error } = spawnSync(join(root, "node_modules/.bin/tsc"), ["--build", "."], { stdio: ["ignore", 2, 2] });
if (status !== 0) {
  console.error(`tsbox: the package can't be compiled${error === undefined ? "" : `: ${error.message}; run npm ci in ${root} first`}`);
  process.exit(1);
}
copyFileSync(join(root, "LICENSE"), "LICENSE");
