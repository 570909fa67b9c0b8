/** The daemon's only socket to the launcher, inherited as descriptor 3. */
import { Buffer } from "node:buffer";
import { Socket } from "node:net";
import { encode, type Frame, FrameCutter } from "./protocol.ts";

export class Connection {
  readonly #socket: Socket;
  readonly #cutter: FrameCutter = new FrameCutter();

  /** `ended` is called when the launcher has died: the daemon then ends, too. */
  constructor(descriptor: number, received: (frame: Frame) => void, ended: () => void) {
    this.#socket = new Socket({ fd: descriptor, readable: true, writable: true });
    this.#socket.on("data", (chunk) => {
      try {
        for (const frame of this.#cutter.push(chunk)) received(frame);
      } catch (error) {
        // Nothing after it can be trusted. The launcher starts another daemon, which recovers the state.
        process.stderr.write(`tsbox: the daemon ends, since its launcher does not speak the protocol: ${String(error)}\n`);
        this.#socket.destroy();
      }
    });
    this.#socket.on("close", ended);
    // After a failed write `close` is emitted, too, and handles it.
    this.#socket.on("error", () => {});
  }

  /** Frames that are sent in one turn of the event loop go out in one write, so that the launcher is woken once. */
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

  /** Sends pending frames now: the launcher can work on them while this turn goes on, which may be long. */
  flush(): void {
    this.#socket.uncork();
  }

  close(): void {
    this.#socket.destroy();
  }
}

const empty = new Uint8Array(0);
