/** Static programs of the tests (test/e2e/probe), which run in any image. */
import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { type Case, temporaryDirectory } from "@tsbox/harness";
import { home } from "./engine.ts";

/** Compiles `test/e2e/probe/NAME.rs`, and returns the program's path, which is removed with the case. */
export function probe(test: Case, name: string): string {
  const directory = temporaryDirectory(test, "/var/tmp");
  // Containers in user namespaces run it, too.
  chmodSync(directory, 0o755);
  const program = join(directory, name);
  const source = join(home, "test/e2e/probe", `${name}.rs`);
  execFileSync("rustc", ["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-o", program, source], { stdio: "pipe" });
  return program;
}
