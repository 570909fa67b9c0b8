import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { encode, FrameCutter } from "../src/protocol.ts";

const test = suite("launcher: frames");

test("frames come out whole however the bytes were cut", () => {
  const bytes = Buffer.concat([encode(1, 7, Buffer.from("first")), encode(2, 8, Buffer.alloc(0)), encode(3, 9, Buffer.alloc(70_000, "x"))]);
  for (const size of [1, 5, 13, 1000, bytes.length]) {
    const cutter = new FrameCutter();
    const frames = [];
    for (let at = 0; at < bytes.length; at += size) frames.push(...cutter.push(bytes.subarray(at, at + size)));
    assert.equal(
      frames.map((frame) => [frame.kind, frame.channel, frame.payload.length]),
      [
        [1, 7, 5],
        [2, 8, 0],
        [3, 9, 70_000],
      ],
      `cut by ${size}`,
    );
    assert.is(frames[0]?.payload.toString(), "first");
  }
});
