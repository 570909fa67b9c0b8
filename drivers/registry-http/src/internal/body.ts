/** Bodies: small ones as a whole, large ones as a stream with the engine's errors. A registry that sends too slowly is given up. */
import { type Call, fail, limits } from "@tsbox/kernel";
import type { Response } from "./connections.ts";
import { networkFailure } from "./failures.ts";

/** How slowly a body may come: at least `bytes` while a reader has waited for `milliseconds`. */
export interface Pace {
  readonly milliseconds: number;
  readonly bytes: number;
}

/** A kibibyte a second. A registry that sends a byte now and then never runs into the timeout for silence. */
const slowest: Pace = { milliseconds: 60_000, bytes: 60 << 10 };
/** Milliseconds for the rest of a body that nobody reads, so that its connection can be used again. */
const discardTimeout = 5_000;

/** Reads a body for an error message; the rest of a long or a slow body is not read. */
export async function bodyText(response: Pick<Response, "body">, pace: Pace = slowest): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of paced(response, pace)) {
      parts.push(part);
      size += part.length;
      if (size > limits.largestWords) break;
    }
  } catch {
    // The status is enough for an error.
  }
  return Buffer.concat(parts).toString();
}

/** The body without its first `skip` bytes. `Unavailable`: it is slower than `pace`. */
export async function* bodyBytes(
  call: Call,
  host: string,
  response: Pick<Response, "body">,
  skip: number,
  pace: Pace = slowest,
): AsyncGenerator<Uint8Array> {
  let left = skip;
  try {
    for await (const part of paced(response, pace)) {
      if (left >= part.length) left -= part.length;
      else {
        yield left === 0 ? part : part.subarray(left);
        left = 0;
      }
    }
  } catch (error) {
    if (error === tooSlow)
      throw fail("Unavailable", `${host} sends less than ${pace.bytes} bytes in ${pace.milliseconds / 1000} s: try again later`);
    throw networkFailure(call, host, error);
  }
}

/** Skips what is left of a body. A long or a slow one is closed. */
export async function discard({ body }: Pick<Response, "body">): Promise<void> {
  await body.dump({ limit: limits.largestWords, signal: AbortSignal.timeout(discardTimeout) }).catch(() => {});
}

const tooSlow = new Error("the body is too slow");

/** Throws `tooSlow`. Only the time that the reader waits counts, since a reader may itself be slow. */
async function* paced({ body }: Pick<Response, "body">, pace: Pace): AsyncGenerator<Uint8Array> {
  const parts = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  let [waited, received] = [0, 0];
  try {
    for (;;) {
      const began = performance.now();
      const { value, done } = await parts.next();
      if (done === true) return;
      waited += performance.now() - began;
      received += value.length;
      if (waited >= pace.milliseconds) {
        if (received < pace.bytes) throw tooSlow;
        [waited, received] = [0, 0];
      }
      yield value;
    }
  } finally {
    // Closes the connection if the body has not been read to its end.
    await parts.return?.();
  }
}
