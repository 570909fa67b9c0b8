/**
 * The daemon's HTTP server, on the listener that the launcher passes as descriptor 4. The listener exists before the daemon starts and
 * after it ends, so no client is refused.
 */
import { fstatSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Front } from "./front.ts";
import { type HttpServer, serveHttp } from "./server.ts";

const listener = 4;

/**
 * Null: there is no listener (a test starts the daemon without a launcher). `directory`: on disk, since an uploaded image may be larger
 * than memory.
 */
export async function openFront(services: Pick<Front, "api" | "log">, directory: string): Promise<HttpServer | null> {
  if (!isSocket(listener)) return null;
  const uploads = join(directory, "uploads");
  // Files of a daemon that was killed.
  await rm(uploads, { recursive: true, force: true });
  await mkdir(uploads, { recursive: true, mode: 0o700 });
  return serveHttp({ ...services, uploads }, { fd: listener });
}

function isSocket(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isSocket();
  } catch {
    return false;
  }
}
