/**
 * A container's log as Docker sends it: frames, or the raw bytes of a terminal; on request, with a time and attributes before each line.
 */
import { type ContainerConfig, type LogPart, logAttributes } from "@tsbox/kernel";

export interface FrameOptions {
  /** The container has a terminal: no frames. */
  readonly bare: boolean;
  readonly timestamps: boolean;
  /** The text before each line (`attributesOf`); null: nothing, not even a space. */
  readonly attributes: string | null;
}

const batch = 32 << 10;
const newline = 10;

/** Joins many lines to a frame and to a chunk. A follower gets a chunk as soon as no more data is available. */
export async function* logFrames(parts: AsyncIterable<LogPart>, options: FrameOptions): AsyncGenerator<Uint8Array> {
  let chunk: Uint8Array[] = [];
  let length = 0;
  const iterator = parts[Symbol.asyncIterator]();
  try {
    let next = iterator.next();
    for (;;) {
      // Available data resolves before an immediate timer does; otherwise the chunk so far is sent now.
      const ready = length === 0 || length >= batch ? "flush" : await Promise.race([next.then(() => "part" as const), idle()]);
      if (ready === "flush" && length > 0) {
        yield chunk.length === 1 ? (chunk[0] as Uint8Array) : Buffer.concat(chunk);
        chunk = [];
        length = 0;
      }
      const step = await next;
      if (step.done) break;
      next = iterator.next();
      const { stream, at, lines } = step.value;
      const head = `${options.timestamps ? `${timestamp(at)} ` : ""}${options.attributes ?? ""}`;
      const bytes = head === "" ? lines : prefixed(Buffer.from(head), lines);
      if (!options.bare) {
        const header = Buffer.alloc(8);
        header[0] = stream === "stderr" ? 2 : 1;
        header.writeUInt32BE(bytes.length, 4);
        chunk.push(header);
        length += 8;
      }
      chunk.push(bytes);
      length += bytes.length;
    }
    if (length > 0) yield Buffer.concat(chunk);
  } finally {
    await iterator.return?.(undefined);
  }
}

const idle = (): Promise<"flush"> => new Promise((resolve) => setImmediate(resolve, "flush" as const));

/** The text `head` before each line. */
function prefixed(head: Buffer, lines: Uint8Array): Uint8Array {
  let count = 0;
  for (let at = 0; at < lines.length; count += 1) at = lineEnd(lines, at);
  const all = Buffer.allocUnsafe(lines.length + count * head.length);
  let to = 0;
  for (let at = 0; at < lines.length; ) {
    const end = lineEnd(lines, at);
    all.set(head, to);
    all.set(lines.subarray(at, end), to + head.length);
    to += head.length + end - at;
    at = end;
  }
  return all;
}

const lineEnd = (lines: Uint8Array, from: number): number => {
  const end = lines.indexOf(newline, from);
  return end < 0 ? lines.length : end + 1;
};

/** RFC 3339 with nanoseconds. */
function timestamp(nanoseconds: string): string {
  const whole = nanoseconds.padStart(10, "0");
  const seconds = Number(whole.slice(0, -9));
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${whole.slice(-9)}Z`;
}

/**
 * The text of `--details`: the labels and variables that the log's options name (`labels`, `labels-regex`, `env`, `env-regex`), and a space
 * even if there are none.
 */
export function attributesOf(config: Pick<ContainerConfig, "labels" | "env" | "log">): string {
  const sorted = Object.entries(logAttributes(config, config.log.options)).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${sorted.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join(",")} `;
}
