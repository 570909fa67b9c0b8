/** The frames between launcher and daemon: native/core/src/peer/protocol.rs in TypeScript. Change both, and the version. */
import { Buffer } from "node:buffer";
import { fail } from "@tsbox/kernel";

export const protocolVersion = 9;

/** In bytes. The receiver of a longer frame closes the connection (`LONGEST` of wire.rs). */
export const longestPayload: number = 16 << 20;

/** The first version of shims that support execs (`SHIM` of protocol.rs). */
export const shimsWithExecs = 2;

/** Frames from the launcher. */
export const incoming = {
  hello: 1,
  clientOpened: 2,
  clientSignal: 3,
  clientResized: 4,
  clientGone: 5,
  clientDrained: 6,
  fromShim: 7,
  shimGone: 8,
  ran: 9,
  signalled: 10,
  clientLoginsFound: 11,
} as const;

/** Frames to the launcher. */
export const outgoing = {
  ready: 20,
  fatal: 21,
  clientWrite: 22,
  clientExit: 23,
  clientLocal: 24,
  clientRaw: 25,
  clientBind: 26,
  shimSpawn: 27,
  shimConnect: 28,
  toShim: 29,
  run: 30,
  runCancel: 31,
  shutdown: 32,
  clientTaken: 33,
  shimRelease: 34,
  signal: 35,
  clientLogins: 36,
} as const;

/** Kinds of messages to a shim. */
export const toShim = { message: 1, start: 3, exec: 4 } as const;

export interface Frame {
  readonly kind: number;
  readonly channel: number;
  readonly payload: Buffer;
}

const headerLength = 12;

/** length u32, channel u32, kind u8, descriptors u8 (always 0 between launcher and daemon), zero u16; little endian. */
export function encode(kind: number, channel: number, payload: Uint8Array): Buffer {
  if (payload.length > longestPayload)
    throw fail(
      "ResourceExhausted",
      `a message of ${payload.length} bytes is more than the engine's processes tell one another (${longestPayload})`,
    );
  const frame = Buffer.allocUnsafe(headerLength + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(channel, 4);
  frame.writeUInt32LE(kind, 8);
  frame.set(payload, headerLength);
  return frame;
}

/**
 * Cuts a byte stream into frames. A payload is a view of the received bytes. A frame beyond the limit is `DataLoss`: nothing after it can
 * be trusted.
 */
export class FrameCutter {
  #rest: Buffer = Buffer.alloc(0);
  /** Chunks of a long frame that is incomplete. They are joined once, when the frame is complete. */
  #more: Buffer[] = [];
  #missing = 0;

  *push(chunk: Buffer): Generator<Frame> {
    this.#missing -= chunk.length;
    if (this.#missing > 0) {
      this.#more.push(chunk);
      return;
    }
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, ...this.#more, chunk]);
    this.#more = [];
    this.#missing = 0;
    while (bytes.length >= headerLength) {
      const length = bytes.readUInt32LE(0);
      if (length > longestPayload) throw fail("DataLoss", `a frame of ${length} bytes is none of the engine's`);
      const end = headerLength + length;
      if (bytes.length < end) {
        this.#missing = end - bytes.length;
        break;
      }
      const kind = bytes.readUInt8(8);
      yield { kind, channel: bytes.readUInt32LE(4), payload: bytes.subarray(headerLength, end) };
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }
}
