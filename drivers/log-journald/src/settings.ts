/** The plugin's config, checked. index.ts documents its keys. */
import { fail, settingsOf } from "@tsbox/kernel";

export interface Settings {
  readonly socket: string;
}

export function parseSettings(raw: unknown): Settings {
  const { socket = "/run/systemd/journal/socket" } = settingsOf(raw, ["socket"]);
  if (typeof socket !== "string" || !socket.startsWith("/") || socket.includes("\0"))
    throw fail("InvalidArgument", "log-journald: socket is the absolute path of journald's socket");
  return { socket };
}
