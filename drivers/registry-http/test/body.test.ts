/** Bodies that arrive a byte at a time. */
import { setTimeout as pause } from "node:timers/promises";
import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { bodyBytes, bodyText } from "../src/internal/body.ts";
import type { Response } from "../src/internal/connections.ts";
import { call } from "./fake-registry.ts";

const test = suite("bodies");
const pace = { milliseconds: 50, bytes: 1_000 };

/** An endless body: `size` bytes at a time. Records that it was closed. */
function endless(size: number): { readonly response: Pick<Response, "body">; readonly wasClosed: () => boolean } {
  let closed = false;
  async function* parts(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        await pause(5);
        yield Buffer.alloc(size);
      }
    } finally {
      closed = true;
    }
  }
  return { response: { body: parts() } as unknown as Pick<Response, "body">, wasClosed: () => closed };
}

test("one that sends a byte now and then is given up, and its connection closed", async () => {
  const { response, wasClosed } = endless(1);
  let received = 0;
  const read = (async () => {
    for await (const part of bodyBytes(call, "far.example", response, 0, pace)) received += part.length;
  })();
  const [outcome] = await Promise.allSettled([read]);
  assert.match(
    String(outcome.status === "rejected" && outcome.reason),
    /far\.example sends less than 1000 bytes in 0\.05 s: try again later/,
  );
  assert.ok(received > 0 && wasClosed());
});

test("one for an error message ends, too", async () => {
  const { response, wasClosed } = endless(1);
  assert.ok((await bodyText(response, pace)).length > 0);
  assert.ok(wasClosed());
});

test("a reader that is slower than the body has all the time that it wants", async () => {
  const { response } = endless(500);
  let received = 0;
  for await (const part of bodyBytes(call, "near.example", response, 0, pace)) {
    received += part.length;
    await pause(20);
    if (received > 15_000) break;
  }
  assert.ok(received > 15_000);
});
