/** The one socket between daemon and launcher, inherited as descriptor 3. */
import { Buffer } from "node:buffer";
import { Socket } from "node:net";
import { encode, type Frame, FrameCutter } from "./protocol.ts";

export class Connection {
  readonly #socket: Socket;
  readonly #cutter: FrameCutter = new FrameCutter();

  /** `ended` is called when the launcher has died: then the daemon has nothing more to do. */
  constructor(descriptor: number, received: (frame: Frame) => void, ended: () => void) {
    this.#socket = new Socket({ fd: descriptor, readable: true, writable: true });
    this.#socket.on("data", (chunk) => {
      try {
        for (const frame of this.#cutter.push(chunk)) received(frame);
      } catch (error) {
        // What comes after it can't be trusted: the launcher starts another daemon, which finds everything again.
        process.stderr.write(`tsbox: the daemon ends, since its launcher does not speak the protocol: ${String(error)}\n`);
        this.#socket.destroy();
      }
    });
    this.#socket.on("close", ended);
    // What a failed write means is told by `close`.
    this.#socket.on("error", () => {});
  }

  /** What is sent in one turn goes as one write: the launcher is woken once for it. */
  send(kind: number, channel: number, payload: Uint8Array = empty): void {
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork();
      process.nextTick(() => this.#socket.uncork());
    }
    this.#socket.write(encode(kind, channel, payload));
  }

  json(kind: number, channel: number, message: unknown): void {
    this.send(kind, channel, Buffer.from(JSON.stringify(message)));
  }

  /** What was sent goes now: the launcher works on it while this turn goes on, which may be long. */
  flush(): void {
    this.#socket.uncork();
  }

  close(): void {
    this.#socket.destroy();
  }
}

const empty = new Uint8Array(0);
