import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** A part of the names of a pool's devices: two pools of one engine, or of two with one id, have different names. */
export function makePoolId(path: string): string {
  try {
    const id = readFileSync(path, "utf8").trim();
    if (/^[0-9a-f]{8}$/.test(id)) return id;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const id = randomBytes(4).toString("hex");
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, id, { flush: true });
  return id;
}
