import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { encode, FrameCutter, incoming, longestPayload, outgoing, protocolVersion, shimsWithExecs, toShim } from "../src/protocol.ts";

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

/** The constants of a module in protocol.rs: names in camel case, with their numbers. */
function native(text: string, module: string): ReadonlyMap<string, number> {
  const body = new RegExp(`pub mod ${module} \\{([^}]*)\\}`).exec(text)?.[1] ?? "";
  const camel = (name: string): string => name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return new Map([...body.matchAll(/pub const (\w+): u8 = (\d+);/g)].map(([, name = "", number]) => [camel(name), Number(number)]));
}

test("both languages have one table of messages, one version and one bound", () => {
  const core = join(import.meta.dirname, "../../../native/core/src");
  const protocol = readFileSync(join(core, "peer", "protocol.rs"), "utf8");
  const wire = readFileSync(join(core, "peer", "wire.rs"), "utf8");
  const number = (text: string, name: string): number => Number(new RegExp(`pub const ${name}: \\w+ = (\\d+)`).exec(text)?.[1]);
  assert.is(number(protocol, "VERSION"), protocolVersion);
  assert.ok(number(protocol, "SHIM") >= shimsWithExecs);
  assert.is(number(wire, "LONGEST") << 20, longestPayload);
  assert.equal(Object.fromEntries(native(protocol, "daemon")), { ...incoming, ...outgoing });
  const toShims = Object.fromEntries(native(protocol, "shim"));
  for (const [name, kind] of Object.entries(toShim)) assert.is(toShims[name], kind, name);
});

test("a frame beyond the bound is refused where it is made and where it comes", () => {
  assert.throws(() => encode(1, 1, Buffer.alloc(longestPayload + 1)), /more than the engine's processes tell/);
  const cutter = new FrameCutter();
  const header = Buffer.alloc(12);
  header.writeUInt32LE(longestPayload + 1, 0);
  assert.throws(() => [...cutter.push(header)], /none of the engine's/);
});

test("a long frame in many pieces is joined once, and what comes behind it is kept", () => {
  const bytes = Buffer.concat([encode(1, 1, Buffer.alloc(4 << 20, "a")), encode(2, 2, Buffer.from("next"))]);
  const cutter = new FrameCutter();
  const frames = [];
  for (let at = 0; at < bytes.length; at += 1000) frames.push(...cutter.push(bytes.subarray(at, at + 1000)));
  assert.equal(
    frames.map((frame) => [frame.kind, frame.payload.length]),
    [
      [1, 4 << 20],
      [2, 4],
    ],
  );
});
