import { readdirSync } from "node:fs";
import type { Probe } from "@tsbox/kernel";
import type { Settings } from "./settings.ts";

export async function probe({ plugins }: Settings): Promise<Probe> {
  if (process.geteuid?.() !== 0) return { usable: false, reason: "CNI plugins need root", hint: "run the engine as root" };
  if (plugins.some(hasFiles)) return { usable: true };
  return {
    usable: false,
    reason: `no CNI plugins in ${plugins.join(", ")}`,
    hint: "install them (Debian: apt-get install containernetworking-plugins)",
  };
}

function hasFiles(directory: string): boolean {
  try {
    return readdirSync(directory).length > 0;
  } catch {
    return false;
  }
}
