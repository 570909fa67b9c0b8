/** Messages byte for byte as Docker's driver sends them, and every wrong option refused by name. */
import assert from "node:assert/strict";
import { hostname } from "node:os";
import { suite } from "@tsbox/harness";
import { isTsboxError, type LogRecord } from "@tsbox/kernel";
import { messageOf } from "../src/format.ts";
import { type FormatName, parseOptions } from "../src/options.ts";

const test = suite("log-syslog");
const record = (stream: LogRecord["stream"], line: string | Uint8Array): LogRecord => ({
  stream,
  at: "1700000000123456789",
  line: typeof line === "string" ? Buffer.from(line) : line,
  partial: null,
});
const message = (format: FormatName, isCounted = false, stream: LogRecord["stream"] = "stdout"): string =>
  messageOf({ format, facility: 3, tag: "web", isCounted }, record(stream, "hello")).toString();

test("each format is that of srslog", () => {
  const time = new Date(1_700_000_000_000);
  const day = String(time.getDate()).padStart(2);
  const clock = time.toTimeString().slice(0, 8);
  const stamp = `Nov ${day} ${clock}`;
  assert.equal(message("unix"), `<30>${stamp} web[${process.pid}]: hello\n`);
  assert.equal(message("unix", false, "stderr"), `<27>${stamp} web[${process.pid}]: hello\n`);
  assert.equal(message("rfc3164"), `<30>${stamp} ${hostname()} web[${process.pid}]: hello\n`);
  const rest = ` ${hostname()} web ${process.pid} web - hello\n`;
  assert.match(message("rfc5424"), /^<30>1 2023-11-1[45]T\d\d:\d\d:20(Z|[+-]\d\d:\d\d) /);
  assert.match(message("rfc5424micro"), /^<30>1 2023-11-1[45]T\d\d:\d\d:20\.123456(Z|[+-]\d\d:\d\d) /);
  assert.ok(message("rfc5424").endsWith(rest) && message("rfc5424micro").endsWith(rest));
  const counted = message("rfc5424", true);
  assert.equal(counted, `${message("rfc5424").length} ${message("rfc5424")}`);
});

test("the bytes of a line are sent as they are", () => {
  const odd = Uint8Array.from([0, 255, 37, 60]);
  const sent = messageOf({ format: "unix", facility: 23, tag: "t", isCounted: false }, record("stdout", odd));
  assert.deepEqual([...sent.subarray(-5)], [...odd, 10]);
  assert.ok(sent.toString().startsWith("<190>"));
});

test("addresses and facilities are read as Docker reads them", () => {
  const address = (text: string): unknown => parseOptions({ "syslog-address": text }).address;
  assert.deepEqual(address(""), { kind: "local" });
  assert.deepEqual(address("udp://logs"), { kind: "udp", host: "logs", port: 514 });
  assert.deepEqual(address("tcp://[::1]:6514"), { kind: "tcp", host: "::1", port: 6514 });
  assert.deepEqual(address("tcp+tls://logs.example.com:1"), { kind: "tls", host: "logs.example.com", port: 1 });
  assert.deepEqual(address("unixgram:///dev/log"), { kind: "unixgram", path: "/dev/log" });
  assert.deepEqual(
    ["kern", "local7", "16", "ftp"].map((name) => parseOptions({ "syslog-facility": name }).facility),
    [0, 23, 16, 11],
  );
});

for (const [options, text] of [
  [{ nope: "1" }, /unknown log opt 'nope' for syslog log driver: there are syslog-address/],
  [{ "syslog-address": "logs:514" }, /there is no such scheme/],
  [{ "syslog-address": "udp://" }, /its host is none/],
  [{ "syslog-address": "udp://a b" }, /its host is none/],
  [{ "syslog-address": "udp://a:0" }, /its port is none/],
  [{ "syslog-address": "udp://a:65536" }, /its port is none/],
  [{ "syslog-address": "udp://[zz]:1" }, /its host is none/],
  [{ "syslog-address": "unix://dev/log" }, /its path is not absolute/],
  [{ "syslog-address": "udp://user@host:1" }, /its host is none/],
  [{ "syslog-facility": "" }, /syslog-facility=: there are kern/],
  [{ "syslog-facility": "13" }, /there are kern/],
  [{ "syslog-facility": "constructor" }, /there are kern/],
  [{ "syslog-format": "rfc" }, /there are rfc3164/],
  [{ "syslog-tls-skip-verify": "2" }, /give true or false/],
  [{ "syslog-tls-cert": "/x" }, /need each other/],
  [{ "syslog-address": "tcp+tls://a", "syslog-tls-ca-cert": "/nope/x" }, /can't read the file of log option syslog-tls-ca-cert/],
] as const)
  test(`refused: ${JSON.stringify(options)}`, () => {
    assert.throws(
      () => parseOptions(options),
      (error) => isTsboxError(error) && error.code === "InvalidArgument" && text.test(error.message),
    );
  });
