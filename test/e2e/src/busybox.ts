/** A root file system of busybox as a tar, for engines that get the same image with `import`. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, temporaryDirectory } from "@tsbox/harness";

/** The reason why there is no busybox, or null. */
export const needsBusybox = (): string | null =>
  existsSync("/bin/busybox") ? null : "not installed: busybox-static (scripts/packages installs it)";

/** `add` adds files to the root. */
export function busyboxTar(test: Case, add: (root: string) => void = () => {}): Buffer {
  const root = join(temporaryDirectory(test, "/var/tmp"), "root");
  for (const folder of ["bin", "etc", "root", "tmp", "srv"]) mkdirSync(join(root, folder), { recursive: true });
  cpSync("/bin/busybox", join(root, "bin/busybox"));
  for (const applet of execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).split("\n"))
    if (applet !== "" && applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n");
  add(root);
  return execFileSync("tar", ["-C", root, "--mtime=@1700000000", "--owner=0", "--group=0", "-c", "."], { maxBuffer: 1 << 28 });
}
