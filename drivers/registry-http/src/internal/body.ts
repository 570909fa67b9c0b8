/** Bodies: small ones as a whole, large ones as a stream with the engine's errors. */
import { type Call, limits } from "@tsbox/kernel";
import type { Response } from "./connections.ts";
import { networkFailure } from "./failures.ts";

/** Reads a body for an error message; the rest of a long body is not read. */
export async function bodyText(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of response.body as AsyncIterable<Uint8Array>) {
      parts.push(part);
      size += part.length;
      if (size > limits.largestWords) break;
    }
  } catch {
    // The status is enough for an error.
  }
  return Buffer.concat(parts).toString();
}

/** The body without its first `skip` bytes. */
export async function* bodyBytes(call: Call, host: string, response: Response, skip: number): AsyncGenerator<Uint8Array> {
  let left = skip;
  try {
    for await (const part of response.body as AsyncIterable<Uint8Array>) {
      if (left >= part.length) left -= part.length;
      else {
        yield left === 0 ? part : part.subarray(left);
        left = 0;
      }
    }
  } catch (error) {
    throw networkFailure(call, host, error);
  }
}
