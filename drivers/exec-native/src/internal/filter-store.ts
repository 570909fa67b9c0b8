/**
 * Compiled seccomp filters, one file for each distinct profile: thousands of containers share Docker's default, and reading 1 KiB is faster
 * than parsing a profile.
 */
import { createHash } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import type { Call, HostToolkit } from "@tsbox/kernel";

export type SeccompCompiler = Pick<HostToolkit, "compileSeccomp">;

export class FilterStore {
  readonly #compiler: SeccompCompiler;
  readonly #directory: string;
  /** By the profile's digest. Failures are not kept. */
  readonly #paths = new Map<string, Promise<string>>();

  constructor(compiler: SeccompCompiler, directory: string) {
    this.#compiler = compiler;
    this.#directory = directory;
  }

  /** The path of the file with the program of `profile` (JSON of `linux.seccomp`): 8 bytes an instruction. */
  path(call: Call, profile: string): Promise<string> {
    const digest = createHash("sha256").update(profile).digest("hex");
    const known = this.#paths.get(digest);
    if (known !== undefined) return known;
    const made = this.#make(call, profile, digest);
    this.#paths.set(digest, made);
    made.catch(() => this.#paths.delete(digest));
    return made;
  }

  async #make(call: Call, profile: string, digest: string): Promise<string> {
    const program = await this.#compiler.compileSeccomp(call, profile);
    const path = `${this.#directory}/${digest}.bpf`;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    // The rename makes the file appear as a whole: a shim may read it at any time.
    await writeFile(`${path}.new`, program);
    await rename(`${path}.new`, path);
    return path;
  }
}
