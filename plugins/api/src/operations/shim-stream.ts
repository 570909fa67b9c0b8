/**
 * A connection to a container's shim that carries its stdio. The first frame requests it, and the shim's first frame grants it
 * (native/core/src/peer/wire.rs and protocol.rs define both). After that the connection carries the container's stdio: raw, or in Docker's
 * frames.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connectUnix, fail } from "@tsbox/kernel";

export interface AttachWishes {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Docker's eight-byte headers. */
  readonly framed: boolean;
  /** An exec that is about to be started; left out: the container itself. */
  readonly exec?: string;
  readonly detachKeys?: readonly number[];
}

const headerLength = 12;
const message = 1;
const longestAnswer = 64 << 10;
/** Milliseconds. A stopped shim accepts the connection, but does not answer. */
const grantTimeout = 5_000;

function opened(path: string): Socket {
  try {
    return connectUnix(path);
  } catch (error) {
    throw fail("FailedPrecondition", "can't attach: its directory is gone; is the container running?", { cause: error });
  }
}

/** A failed write means that the process takes no more input, but its output must not be lost: Node would close both directions. */
function ignoreRefusedInput(socket: Socket): void {
  const { _write, _writev } = socket as Duplex;
  const kept = (done: (error?: Error | null) => void) => (): void => done();
  socket._write = (chunk, encoding, done) => _write.call(socket, chunk, encoding, kept(done));
  socket._writev = (chunks, done) => _writev?.call(socket, chunks, kept(done));
}

/**
 * Answers when the shim has granted the connection: no output of the container after that is missed. `FailedPrecondition`: there is no
 * process to attach to. `DeadlineExceeded`: the shim does not answer.
 */
export function connectShim(path: string, wishes: AttachWishes): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = opened(path);
    ignoreRefusedInput(socket);
    let got = Buffer.alloc(0);
    const late = setTimeout(() => {
      socket.destroy();
      const seconds = grantTimeout / 1000;
      reject(
        fail("DeadlineExceeded", `can't attach: the container's shim has not answered within ${seconds} s; kill or remove the container`),
      );
    }, grantTimeout);
    const end = (why: string): void => {
      clearTimeout(late);
      socket.destroy();
      reject(fail("FailedPrecondition", `can't attach: ${why}; is the container running?`));
    };
    const closed = (): void => end("its supervisor closed the connection");
    const failed = (error: Error): void => end(error.message);
    const read = (): void => {
      for (let part = socket.read() as Buffer | null; part !== null; part = socket.read() as Buffer | null)
        got = Buffer.concat([got, part]);
      if (got.length < headerLength) return;
      const length = got.readUInt32LE(0);
      if (length > longestAnswer) end("its supervisor answers nonsense");
      else if (got.length >= headerLength + length) {
        clearTimeout(late);
        socket.off("readable", read).off("end", closed).off("error", failed).off("close", closed);
        // The reader gets a later error by its own listener; until it has one, the death of the shim must not crash the daemon.
        socket.on("error", () => {});
        const rest = got.subarray(headerLength + length);
        if (rest.length > 0) socket.unshift(rest);
        resolve(socket);
      }
    };
    socket.on("readable", read).on("end", closed).on("error", failed).on("close", closed);
    const request = Buffer.from(JSON.stringify({ op: "attach", ...wishes }));
    const header = Buffer.alloc(headerLength);
    header.writeUInt32LE(request.length, 0);
    header[8] = message;
    socket.write(Buffer.concat([header, request]));
  });
}
