/** Batches in fluentd's forward protocol, version 1, mode Forward: `[tag, [[time, record], …], option]` in MessagePack. */
import { Decoder, ExtData, encode } from "@msgpack/msgpack";
import type { LogRecord, LogSource } from "@tsbox/kernel";

/** The extension type of EventTime: seconds and nanoseconds, of 32 bits each. */
const eventTime = 0;

/** `chunk`: the sink answers with it when it has the batch; null: it does not answer. */
export function batchOf(
  { tag, container, name, attributes }: LogSource,
  records: readonly LogRecord[],
  { isSubSecond, chunk }: { readonly isSubSecond: boolean; readonly chunk: string | null },
): Uint8Array {
  const entries = records.map(({ stream, at, line, partial }) => [
    isSubSecond ? new ExtData(eventTime, timeOf(at)) : secondsOf(at),
    {
      // First, so that a label of an image can't take the place of the engine's own.
      ...attributes,
      container_id: container,
      container_name: `/${name}`,
      source: stream,
      log: Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString(),
      // As Docker's driver writes them.
      ...(partial !== null && {
        partial_message: "true",
        partial_id: partial.id,
        partial_ordinal: String(partial.ordinal),
        partial_last: String(partial.last),
      }),
    },
  ]);
  return encode([tag, entries, chunk === null ? { size: entries.length } : { size: entries.length, chunk }]);
}

const secondsOf = (at: string): number => Number(at.slice(0, -9));

function timeOf(at: string): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(secondsOf(at) % 2 ** 32, 0);
  bytes.writeUInt32BE(Number(at.slice(-9)), 4);
  return bytes;
}

/** No answer of a sink is as long. */
const longestAnswer = 64 << 10;

/** Reads the chunks that a sink acknowledges, from the bytes that it sends. */
export class Acknowledgements {
  #bytes: Buffer = Buffer.alloc(0);

  /** Null: what came is no answer of this protocol. */
  push(bytes: Uint8Array): readonly string[] | null {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    if (this.#bytes.length > longestAnswer) return null;
    const chunks: string[] = [];
    while (this.#bytes.length > 0) {
      const end = endOfMap(this.#bytes);
      if (end === null) return null;
      if (end > this.#bytes.length) break;
      const answer: unknown = new Decoder().decode(this.#bytes.subarray(0, end));
      if (typeof answer === "object" && answer !== null && "ack" in answer && typeof answer.ack === "string") chunks.push(answer.ack);
      this.#bytes = this.#bytes.subarray(end);
    }
    return chunks;
  }
}

/** The length of `{"ack": text}` at the beginning; more than there is: it is not whole yet; null: it is something else. */
function endOfMap(bytes: Buffer): number | null {
  if (bytes[0] !== 0x81) return null;
  let at = 1;
  for (let text = 0; text < 2; text += 1) {
    const head = bytes[at];
    if (head === undefined) return bytes.length + 1;
    if (head >= 0xa0 && head <= 0xbf) at += 1 + (head - 0xa0);
    else if (head === 0xd9 || head === 0xc4) at += 2 + (bytes[at + 1] ?? longestAnswer);
    else if (head === 0xda || head === 0xc5) at += 3 + (at + 2 < bytes.length ? bytes.readUInt16BE(at + 1) : longestAnswer);
    else return null;
  }
  return at;
}
