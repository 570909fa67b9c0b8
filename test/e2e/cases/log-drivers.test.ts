/** Log drivers that send: syslog, fluentd and journald get what containers write, and `logs` works with each of them. */
import { execFileSync, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import { fluentSink } from "@tsbox/log-fluentd/conformance";
import { sink as journal, noJournald } from "@tsbox/log-journald/conformance";
import { parsed, syslogSink } from "@tsbox/log-syslog/conformance";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { docker, dockerClient } from "../src/docker.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("log drivers", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

async function ready(t: Case, config: object | null = null): Promise<Engine> {
  const path = config === null ? null : join(temporaryDirectory(t), "config.json");
  if (path !== null) writeFileSync(path, JSON.stringify(config));
  const own = await engine(t, path);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  return own;
}
const flags = (driver: string, options: Readonly<Record<string, string>>): readonly string[] => [
  "--log-driver",
  driver,
  ...Object.entries(options).flatMap(([key, value]) => ["--log-opt", `${key}=${value}`]),
];
const numbers = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `line ${at + 1}`);
/** Prints `line 1` to `line N`. */
const counting = (count: number): string => `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo line $i; done`;

test.skipIf(reason, "syslog over tcp: both streams with their tag, logs, inspect, info; docker's own client", async (t) => {
  const own = await ready(t);
  const sink = await syslogSink({ "syslog-format": "rfc5424micro", "syslog-facility": "local3" });
  t.cleanup(() => sink.close());
  const options = flags("syslog", { ...sink.options, tag: "{{.Name}}/{{.ImageName}}" });
  await own.ok(["run", "--name", "web", "--net", "none", ...options, "bb", "sh", "-c", "echo one; echo two >&2; printf three"]);
  await until(async () => (await sink.received()).length >= 3, "three messages");
  const found = (await sink.received()).map(({ tag, line, stream, priority }) => [tag, line, stream, priority]);
  // The streams are two pipes, so lines of one may overtake those of the other.
  assert.equal(
    found.sort((a, b) => (String(a[1]) < String(b[1]) ? -1 : 1)),
    [
      ["web/bb", "one", "stdout", 19 * 8 + 6],
      ["web/bb", "three", "stdout", 19 * 8 + 6],
      ["web/bb", "two", "stderr", 19 * 8 + 3],
    ],
  );
  assert.equal(await own.run(["logs", "web"]), { code: 0, stdout: "one\nthree", stderr: "two\n" });
  assert.is((await own.ok(["inspect", "-f", "{{.HostConfig.LogConfig.Type}}", "web"])).trim(), "syslog");
  assert.is((await own.ok(["info", "-f", "{{.LoggingDriver}}"])).trim(), "local");
  const known = JSON.parse(await own.ok(["info", "-f", "{{json .Plugins.Log}}"])) as string[];
  for (const name of ["local", "json-file", "none", "syslog", "fluentd"]) assert.ok(known.includes(name), `no ${name} in ${known}`);
  if (docker.reason !== null) return;
  const ran = await dockerClient(own, ["run", "--name", "dock", "--net", "none", ...flags("syslog", sink.options), "bb", "echo", "hello"]);
  assert.equal(ran, { code: 0, stdout: "hello\n", stderr: "" });
  assert.is((await dockerClient(own, ["logs", "dock"])).stdout, "hello\n");
  const { Id } = await own.inspect("dock");
  await until(async () => (await sink.received()).some(({ tag, line }) => tag === Id.slice(0, 12) && line === "hello"), "docker's message");
});

test.skipIf(reason, "unknown drivers and options, and wrong values, are refused at create, with the known ones", async (t) => {
  const own = await ready(t);
  for (const [driver, options, text] of [
    ["nope", {}, /no log driver named 'nope' is registered; there are fluentd, journald, json-file, local, none, syslog/],
    [
      "syslog",
      { "fluentd-address": "x" },
      /unknown log opt 'fluentd-address' for syslog log driver: there are syslog-address, .*cache-max-size/,
    ],
    ["syslog", { "syslog-address": "http://x" }, /syslog-address=http:\/\/x: there is no such scheme; give udp:/],
    ["syslog", { "syslog-facility": "moon" }, /syslog-facility=moon: there are kern, .*local7/],
    ["syslog", { "syslog-format": "rfc1" }, /there are rfc3164, rfc5424 and rfc5424micro/],
    ["syslog", { "syslog-address": "tcp+tls://x", "syslog-tls-ca-cert": "/nope" }, /can't read the file of log option syslog-tls-ca-cert/],
    ["fluentd", { "fluentd-retry-wait": "soon" }, /fluentd-retry-wait=soon: give a duration/],
    ["fluentd", { "fluentd-async": "perhaps" }, /fluentd-async=perhaps: give true or false/],
    ["fluentd", { mode: "fast" }, /logging mode not supported/],
    ["json-file", { "cache-disabled": "true" }, /unknown log opt 'cache-disabled' for json-file/],
  ] as const) {
    const { code, stderr } = await own.run(["create", "--name", "box", ...flags(driver, options), "bb", "true"]);
    assert.ok(code !== 0);
    assert.match(stderr, text);
  }
  assert.is(await own.ok(["ps", "-aq"]), "");
  await own.ok([
    "run",
    "--name",
    "dark",
    "--net",
    "none",
    ...flags("syslog", { "syslog-address": "udp://127.0.0.1:9", "cache-disabled": "true" }),
    "bb",
    "true",
  ]);
  assert.match((await own.run(["logs", "dark"])).stderr, /configured logging driver does not support reading/);
});

test.skipIf(
  reason,
  "the configuration's driver and options are the default, and a sink that is down when containers start gets it all",
  async (t) => {
    const sink = await fluentSink({ "fluentd-request-ack": "true", "fluentd-sub-second-precision": "true" });
    t.cleanup(() => sink.close());
    const logOptions = { ...sink.options, labels: "tier", "env-regex": "^MO", tag: "app.{{.Name}}" };
    const own = await ready(t, { drivers: { log: "fluentd" }, plugins: [{ name: "@tsbox/containers", config: { logOptions } }] });
    await sink.stop();
    const started = Date.now();
    await own.ok([
      "run",
      "--name",
      "web",
      "--net",
      "none",
      "-l",
      "tier=front",
      "-e",
      "MODE=fast",
      "bb",
      "sh",
      "-c",
      `echo one; echo two >&2; ${counting(2000)}`,
    ]);
    const long = "x".repeat(40_000);
    await own.ok(["run", "--name", "long", "--net", "none", "bb", "echo", long]);
    assert.is((await own.ok(["info", "-f", "{{.LoggingDriver}}"])).trim(), "fluentd");
    assert.equal(JSON.parse(await own.ok(["inspect", "-f", "{{json .HostConfig.LogConfig}}", "web"])), {
      Type: "fluentd",
      Config: logOptions,
    });
    assert.is((await own.ok(["logs", "web"])).split("\n").length, 2002);
    await sink.start();
    await until(async () => (await sink.received()).length >= 2005, "all records", 60_000);
    const all = await sink.received();
    const { Id } = await own.inspect("web");
    const [first] = all.filter(({ line }) => line === "two");
    assert.equal(first?.record, { container_id: Id, container_name: "/web", source: "stderr", log: "two", tier: "front", MODE: "fast" });
    assert.is(first?.tag, "app.web");
    assert.ok(Math.abs((first?.at ?? 0) - started) < 60_000);
    assert.equal(
      all.filter(({ tag, stream }) => tag === "app.web" && stream === "stdout").map(({ line }) => line),
      ["one", ...numbers(2000)],
    );
    const pieces = all.filter(({ tag }) => tag === "app.long");
    assert.is(pieces.map(({ line }) => line).join(""), long);
    assert.equal(
      pieces.map(({ record }) => [record.partial_message, record.partial_ordinal, record.partial_last]),
      [
        ["true", "1", "false"],
        ["true", "2", "false"],
        ["true", "3", "true"],
      ],
    );
    assert.match(own.log, /the log of container web waits for fluentd: .*does not take logs/);
    // Another driver has none of these options.
    await own.ok(["run", "--rm", "--net", "none", "--log-driver", "json-file", "bb", "true"]);
  },
);

test.skipIf(
  reason,
  "a daemon that is killed again and again loses no line, also of a container with --rm that ends meanwhile",
  async (t) => {
    const own = await ready(t);
    const sink = await fluentSink({ "fluentd-request-ack": "true" });
    t.cleanup(() => sink.close());
    const script = `i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; [ $((i%10)) = 0 ] && usleep 5000; done`;
    await own.ok([
      "run",
      "-d",
      "--name",
      "box",
      "--net",
      "none",
      ...flags("fluentd", { ...sink.options, tag: "box" }),
      "bb",
      "sh",
      "-c",
      script,
    ]);
    await own.ok([
      "run",
      "-d",
      "--rm",
      "--name",
      "gone",
      "--net",
      "none",
      ...flags("fluentd", { ...sink.options, tag: "gone" }),
      "bb",
      "sh",
      "-c",
      script,
    ]);
    for (let round = 0; round < 3; round += 1) {
      const before = (await sink.received()).length;
      await until(async () => (await sink.received()).length > before + 100, "more records");
      const daemon = own.daemonPid();
      process.kill(daemon, "SIGKILL");
      await until(async () => (await own.run(["version"])).code === 0 && own.daemonPid() !== daemon, "the next daemon");
    }
    await until(async () => (await sink.received()).filter(({ line }) => line === "line 3000").length >= 2, "the last lines", 60_000);
    for (const name of ["box", "gone"]) {
      const lines = (await sink.received()).filter(({ tag }) => tag === name).map(({ line }) => line);
      assert.equal([...new Set(lines)], numbers(3000));
      assert.ok(lines.length <= 3000 + 3 * 500, `${lines.length} lines came`);
    }
    await until(async () => (await own.ok(["ps", "-aq"])).split("\n").length === 2, "one container to be left");
  },
);

test.skipIf(
  reason,
  "a sink that reads nothing holds neither output nor stop nor rm; what is lost with a removed container is counted",
  async (t) => {
    const own = await ready(t);
    const sink = await syslogSink({ "syslog-format": "rfc5424" });
    t.cleanup(() => sink.close());
    await sink.silence();
    const options = flags("syslog", { ...sink.options, "cache-max-size": "64m" });
    const script =
      "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -n 300000; echo done; exec sleep 1000";
    await own.ok(["run", "-d", "--name", "box", "--net", "none", ...options, "bb", "sh", "-c", script]);
    await until(async () => (await own.ok(["logs", "-n", "1", "box"])) === "done\n", "the container to have written all", 30_000);
    const before = Date.now();
    await own.ok(["stop", "-t", "0", "box"]);
    await own.ok(["rm", "box"]);
    assert.ok(Date.now() - before < 4_500, `stop and rm took ${Date.now() - before} ms`);
    await own.ok(["run", "--rm", "--name", "box", "--net", "none", "bb", "true"]);
    await until(
      () => /\d+ lines of the removed container box are lost: syslog did not take them within 5 s/.test(own.log),
      "the count",
      15_000,
    );
    await sink.start();
  },
);

test.skipIf(reason, "many lines come all, and cost the daemon no memory", async (t) => {
  const own = await ready(t);
  const count = 600_000;
  let [lines, last] = [0, ""];
  const server = createServer((socket) =>
    socket.on("data", (bytes) => {
      for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines += 1;
      last = bytes.subarray(-32).toString();
    }),
  );
  t.cleanup(() => new Promise<void>((resolve) => server.close(() => resolve())));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const memory = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${own.daemonPid()}/status`, "utf8"))?.[1]) >> 10;
  const before = memory();
  const options = flags("syslog", { "syslog-address": `tcp://127.0.0.1:${port}` });
  await own.ok(["run", "-d", "--name", "box", "--net", "none", ...options, "bb", "seq", "1", String(count)]);
  await until(
    () => lines >= count,
    () => `${count} lines: ${lines} came`,
    90_000,
  );
  const grown = memory() - before;
  assert.is(lines, count);
  assert.ok(last.endsWith(`: ${count}\n`), last);
  assert.ok(grown < 110, `the daemon grew by ${grown} MiB`);
  await own.ok(["rm", "-f", "box"]);
});

test.skipIf(reason, "a syslog server that dies and comes back has every line", async (t) => {
  const own = await ready(t);
  const sink = await syslogSink({ "syslog-format": "rfc5424" });
  t.cleanup(() => sink.close());
  const script = `i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i; usleep 10000; done`;
  await own.ok([
    "run",
    "-d",
    "--name",
    "box",
    "--net",
    "none",
    ...flags("syslog", { ...sink.options, tag: "box" }),
    "bb",
    "sh",
    "-c",
    script,
  ]);
  await until(async () => (await sink.received()).length > 20, "the first lines");
  await sink.stop();
  await until(async () => (await own.ok(["logs", "-n", "1", "box"])) >= "line 1", "more lines");
  await sink.start();
  await until(async () => (await sink.received()).some(({ line }) => line === "line 200"), "the last line", 60_000);
  assert.equal([...new Set((await sink.received()).map(({ line }) => line))], numbers(200));
});

test.skipIf(reason, "syslog over unix sockets, udp and TLS, in each format", async (t) => {
  const own = await ready(t);
  const directory = temporaryDirectory(t);
  const run = (name: string, options: Readonly<Record<string, string>>): Promise<string> =>
    own.ok([
      "run",
      "--name",
      name,
      "--net",
      "none",
      ...flags("syslog", { ...options, tag: name }),
      "bb",
      "sh",
      "-c",
      "echo one; echo two >&2",
    ]);
  const both = (found: readonly { readonly line: string; readonly stream: string }[]): void =>
    assert.equal(found.map(({ line, stream }) => `${line} ${stream}`).sort(), ["one stdout", "two stderr"]);
  for (const format of ["", "rfc3164"]) {
    const sink = await syslogSink(format === "" ? {} : { "syslog-format": format }, { directory });
    const name = `unix${format}`;
    await run(name, sink.options);
    await until(async () => (await sink.received()).length >= 2, "both messages over a unix socket");
    both((await sink.received()).filter(({ tag }) => tag === name));
    await sink.close();
  }

  const datagrams: string[] = [];
  const udp = createSocket("udp4", (message) => void datagrams.push(message.toString()));
  t.cleanup(() => new Promise<void>((resolve) => udp.close(() => resolve())));
  await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
  await run("udp", { "syslog-address": `udp://127.0.0.1:${udp.address().port}`, "syslog-format": "rfc5424" });
  await until(() => datagrams.length >= 2, "both datagrams");
  both(datagrams.map((text) => parsed(text.trimEnd())));

  if (spawnSync("openssl", ["version"]).error !== undefined) return;
  const [certificate, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
  execFileSync("openssl", ["req", "-x509", ...kind, "-keyout", key, "-out", certificate, ...subject], { stdio: "ignore" });
  const tls = { cert: readFileSync(certificate), key: readFileSync(key) };
  for (const format of ["rfc5424", "rfc3164"]) {
    const sink = await syslogSink({ "syslog-format": format, "syslog-tls-ca-cert": certificate }, { tls });
    await run(`tls${format}`, sink.options);
    await until(async () => (await sink.received()).length >= 2, "both messages over TLS");
    both(await sink.received());
    // Nobody vouches for it.
    await run(`strange${format}`, { "syslog-address": sink.options["syslog-address"] ?? "", "syslog-format": format });
    await until(
      () => new RegExp(`the log of container strange${format} waits for syslog: .*(self-signed|self signed)`).test(own.log),
      "the refusal",
    );
    assert.is((await sink.received()).length, 2);
    await run(`blind${format}`, {
      "syslog-address": sink.options["syslog-address"] ?? "",
      "syslog-format": format,
      "syslog-tls-skip-verify": "true",
    });
    await until(async () => (await sink.received()).length >= 4, "both messages without verification");
    await own.ok(["rm", `strange${format}`]);
    await sink.close();
  }
});

test.skipIf(
  reason ?? noJournald(),
  "journald: Docker's fields, long lines, odd bytes; one that is stopped holds nothing; and /dev/log",
  async (t) => {
    const sink = await journal();
    t.cleanup(() => sink.close());
    const own = await ready(t, { plugins: [{ name: "@tsbox/log-journald", config: sink.config }] });
    const script = "echo one; echo two >&2; printf 'odd \\377\\001\\n'; head -c 40000 /dev/zero | tr '\\0' x; echo";
    await own.ok([
      "run",
      "--name",
      "web",
      "--net",
      "none",
      "-l",
      "my.tier=front",
      ...flags("journald", { labels: "my.tier" }),
      "bb",
      "sh",
      "-c",
      script,
    ]);
    const { Id } = await own.inspect("web");
    await until(async () => (await sink.received()).length >= 6, "all entries");
    const entries = (await sink.entries()).filter(({ CONTAINER_NAME }) => CONTAINER_NAME === "web");
    const two = entries.find(({ MESSAGE }) => MESSAGE === "two") ?? {};
    assert.equal(
      ["CONTAINER_ID", "CONTAINER_ID_FULL", "CONTAINER_TAG", "SYSLOG_IDENTIFIER", "IMAGE_NAME", "PRIORITY", "MY_TIER"].map(
        (key) => two[key],
      ),
      [Id.slice(0, 12), Id, Id.slice(0, 12), Id.slice(0, 12), "bb", "3", "front"],
    );
    const pieces = entries.filter(({ CONTAINER_PARTIAL_ID }) => CONTAINER_PARTIAL_ID !== undefined);
    assert.is(pieces.map(({ MESSAGE }) => MESSAGE).join(""), "x".repeat(40_000));
    assert.equal(
      pieces.map((entry) => [entry.CONTAINER_PARTIAL_ORDINAL, entry.CONTAINER_PARTIAL_LAST, entry.CONTAINER_PARTIAL_MESSAGE]),
      [
        ["1", "false", "true"],
        ["2", "false", "true"],
        ["3", "true", undefined],
      ],
    );
    await sink.silence();
    await own.ok(["run", "-d", "--name", "many", "--net", "none", ...flags("journald", { tag: "many" }), "bb", "sh", "-c", counting(1000)]);
    assert.is((await own.ok(["wait", "many"])).trim(), "0");
    assert.is((await own.ok(["logs", "many"])).split("\n").length, 1001);
    await sink.start();
    await until(
      async () => (await sink.received()).some(({ tag, line }) => tag === "many" && line === "line 1000"),
      "the last line",
      60_000,
    );
    assert.equal([...new Set((await sink.received()).filter(({ tag }) => tag === "many").map(({ line }) => line))], numbers(1000));
    // Datagrams in syslog's format, as at /dev/log.
    await own.ok([
      "run",
      "--name",
      "dev",
      "--net",
      "none",
      ...flags("syslog", { "syslog-address": `unix://${sink.devLog}`, tag: "dev" }),
      "bb",
      "echo",
      "via dev-log",
    ]);
    await until(
      async () => (await sink.entries()).some(({ SYSLOG_IDENTIFIER, MESSAGE }) => SYSLOG_IDENTIFIER === "dev" && MESSAGE === "via dev-log"),
      "the message over a datagram socket",
    );
  },
);

test.skipIf(reason, "tsbox conformance log: the package of a driver brings the sink", async (t) => {
  const own = await ready(t);
  const { code, stdout, stderr } = await own.run(["conformance", "log", "fluentd", "--format", "json"], {
    environment: { TSBOX_CONFIG: "" },
  });
  assert.is(code, 0, stderr + stdout);
  assert.match(stderr, /^log\/fluentd: \d\d passed, 0 failed, 0 skipped$/m);
});
