/** The registry of the registry suite: a directory that is the root of an image. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RegistrySource } from "@tsbox/conformance";

export async function registry(_id: string, directory: string): Promise<RegistrySource> {
  mkdirSync(join(directory, "etc"));
  writeFileSync(join(directory, "etc/shadow"), "secret");
  return {
    ref: directory,
    missing: join(directory, "missing"),
    malformed: ["", "relative"],
    access: { credentials: null, endpoints: [] },
    silence: null,
    resume: async () => undefined,
    close: async () => undefined,
  };
}
