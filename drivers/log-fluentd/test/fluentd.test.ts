/** Batches of the forward protocol, acknowledgements in any pieces, and every wrong option refused by name. */
import assert from "node:assert/strict";
import { decode, type ExtData, encode } from "@msgpack/msgpack";
import { suite } from "@tsbox/harness";
import { isTsboxError, type LogSource, newContainerId } from "@tsbox/kernel";
import { Acknowledgements, batchOf } from "../src/message.ts";
import { parseOptions } from "../src/options.ts";

const test = suite("log-fluentd");
const source: LogSource = {
  container: newContainerId(),
  name: "web",
  imageName: "app",
  imageId: "sha256:0",
  tag: "docker.web",
  attributes: { tier: "front" },
  options: {},
};
const record = { stream: "stderr", at: "1700000000123456789", line: Buffer.from("hello"), partial: null } as const;

test("a batch is one message of mode Forward, with Docker's records", () => {
  const own = { container_id: source.container, container_name: "/web", source: "stderr", log: "hello", tier: "front" };
  const plain = decode(batchOf(source, [record, record], { isSubSecond: false, chunk: null }));
  assert.deepEqual(plain, [
    "docker.web",
    [
      [1_700_000_000, own],
      [1_700_000_000, own],
    ],
    { size: 2 },
  ]);
  const [, entries, option] = decode(batchOf(source, [record], { isSubSecond: true, chunk: "abc" })) as [
    string,
    [ExtData, unknown][],
    unknown,
  ];
  assert.deepEqual(option, { size: 1, chunk: "abc" });
  const [time] = entries[0] as [ExtData, unknown];
  assert.equal(time.type, 0);
  const bytes = Buffer.from(time.data as Uint8Array);
  assert.deepEqual([bytes.readUInt32BE(0), bytes.readUInt32BE(4)], [1_700_000_000, 123_456_789]);
});

test("acknowledgements are read from bytes that come in any pieces; anything else ends the connection", () => {
  const chunks = ["a", "b".repeat(24), "c".repeat(200), "d".repeat(300)];
  const bytes = Buffer.concat(chunks.map((ack) => Buffer.from(encode({ ack }))));
  for (const size of [1, 2, 3, 7, 1000]) {
    const answers = new Acknowledgements();
    const found: string[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...(answers.push(bytes.subarray(at, at + size)) ?? ["broken"]));
    assert.deepEqual(found, chunks);
  }
  assert.equal(new Acknowledgements().push(Buffer.from("HTTP/1.1 400 Bad Request\r\n")), null);
  assert.equal(new Acknowledgements().push(Buffer.from(encode(["HELO", {}]))), null);
  assert.deepEqual(new Acknowledgements().push(Buffer.from(encode({ other: "x" }))), []);
  const endless = new Acknowledgements();
  assert.deepEqual(endless.push(Buffer.from([0x81, 0xa3, 0x61, 0x63, 0x6b, 0xda, 0xff, 0xff])), []);
  assert.equal(endless.push(Buffer.alloc(70_000)), null);
});

test("options are read as Docker reads them", () => {
  const address = (text: string): unknown => parseOptions({ "fluentd-address": text }).address;
  assert.deepEqual(parseOptions({}).address, { kind: "tcp", host: "127.0.0.1", port: 24_224 });
  assert.deepEqual(address("logs"), { kind: "tcp", host: "logs", port: 24_224 });
  assert.deepEqual(address("tls://[::1]:1"), { kind: "tls", host: "::1", port: 1 });
  assert.deepEqual(address("unix:///run/fluent.sock"), { kind: "unix", path: "/run/fluent.sock" });
  const { tries, pause, writeTimeout } = parseOptions({
    "fluentd-max-retries": "3",
    "fluentd-retry-wait": "1m0.5s",
    "fluentd-write-timeout": "250ms",
  });
  assert.deepEqual([tries, pause, writeTimeout], [4, 60_500, 250]);
  parseOptions({ "fluentd-async": "true", "fluentd-buffer-limit": "8MB", "fluentd-async-reconnect-interval": "100ms" });
});

for (const [options, text] of [
  [{ nope: "1" }, /unknown log opt 'nope' for fluentd log driver: there are fluentd-address/],
  [{ "fluentd-address": "http://x" }, /there is no such scheme/],
  [{ "fluentd-address": "tcp://x:99999" }, /its port is none/],
  [{ "fluentd-address": "unix://x" }, /its path is not absolute/],
  [{ "fluentd-address": "a b" }, /its host is none/],
  [{ "fluentd-async": "yes" }, /give true or false/],
  [{ "fluentd-buffer-limit": "much" }, /fluentd-buffer-limit=much: give a number/],
  [{ "fluentd-max-retries": "-1" }, /fluentd-max-retries=-1: give a number/],
  [{ "fluentd-retry-wait": "1 s" }, /give a duration/],
  [{ "fluentd-retry-wait": "99h" }, /give a duration/],
] as const)
  test(`refused: ${JSON.stringify(options)}`, () => {
    assert.throws(
      () => parseOptions(options),
      (error) => isTsboxError(error) && error.code === "InvalidArgument" && text.test(error.message),
    );
  });
