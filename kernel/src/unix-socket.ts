/**
 * Unix sockets whose path is longer than the 107 bytes that an address has room for: they are reached through a descriptor of their folder.
 */
import { closeSync, constants, openSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { basename, dirname } from "node:path";

const longest = 107;

/** A path to the same socket that fits an address, good until `release`. */
export function shortSocketPath(path: string): { readonly path: string; release(): void } {
  if (Buffer.byteLength(path) <= longest) return { path, release: () => {} };
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${folder}/${basename(path)}`, release: () => closeSync(folder) };
}

/** Half-open: either side may end its writing alone. What fails is told by the socket's own event. */
export function connectUnix(path: string): Socket {
  const short = shortSocketPath(path);
  const socket = createConnection({ path: short.path, allowHalfOpen: true });
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    short.release();
  };
  return socket.once("connect", release).once("close", release);
}
