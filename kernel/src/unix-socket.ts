/** Unix sockets with a path longer than 107 bytes, the room in a socket address: they are reached through a descriptor of their folder. */
import { closeSync, constants, openSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { basename, dirname } from "node:path";

const longest = 107;

/** A path to the same socket that fits into a socket address. It is valid until `release`. */
export function shortSocketPath(path: string): { readonly path: string; release(): void } {
  if (Buffer.byteLength(path) <= longest) return { path, release: () => {} };
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${folder}/${basename(path)}`, release: () => closeSync(folder) };
}

/** The connection is half-open: either side may end its writing alone. Errors arrive as the socket's `error` event. */
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
