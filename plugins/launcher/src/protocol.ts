/** The frames between launcher and daemon: native/core/src/protocol.rs in TypeScript. Change both, and the version. */
import { Buffer } from "node:buffer";

export const protocolVersion = 5;

/** The first version of shims that know execs (`SHIM` of protocol.rs). */
export const shimsWithExecs = 2;

/** From the launcher. */
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
} as const;

/** To the launcher. */
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
} as const;

/** Kinds of messages to a shim. */
export const toShim = { message: 1, start: 3, exec: 4 } as const;

export interface Frame {
  readonly kind: number;
  readonly channel: number;
  readonly payload: Buffer;
}

const headerLength = 12;

/** length u32, channel u32, kind u8, descriptors u8 (never any to or from here), zero u16; little endian. */
export function encode(kind: number, channel: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerLength + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(channel, 4);
  frame.writeUInt32LE(kind, 8);
  frame.set(payload, headerLength);
  return frame;
}

/** Cuts a byte stream into frames; a frame's payload is a view of the bytes that came. */
export class FrameCutter {
  #rest: Buffer = Buffer.alloc(0);

  *push(chunk: Buffer): Generator<Frame> {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= headerLength) {
      const end = headerLength + bytes.readUInt32LE(0);
      if (bytes.length < end) break;
      const kind = bytes.readUInt8(8);
      yield { kind, channel: bytes.readUInt32LE(4), payload: bytes.subarray(headerLength, end) };
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }
}
