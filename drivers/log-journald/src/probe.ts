import { existsSync } from "node:fs";
import type { Probe } from "@tsbox/kernel";

export function probe(socket: string): Probe {
  if (existsSync(socket)) return { usable: true };
  return {
    usable: false,
    reason: `journald is not enabled on this host: there is no ${socket}`,
    hint: "start systemd-journald, or choose another log driver",
  };
}
