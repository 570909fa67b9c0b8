/** Malicious or wrong requests: no answer is 500, and none contains a path of the engine. */
import { existsSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("bad requests", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

interface Answer {
  readonly status: number;
  readonly text: string;
}

function ask(own: Engine, method: string, path: string, body?: string | Buffer, type: string = "application/json"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": type, "content-length": Buffer.byteLength(body) };
    const sent = request({ socketPath: own.socket, method, path: `/v1.43${path}`, headers, agent: false }, (response) => {
      let text = "";
      response
        .setEncoding("utf8")
        .on("data", (part: string) => {
          text = (text + part).slice(0, 4000);
        })
        .on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("error", reject).end(body);
  });
}

const values: readonly unknown[] = [
  7,
  "x",
  "99999999999999999999",
  [],
  [1],
  [null],
  { a: 1 },
  { "": "" },
  true,
  -1,
  "\0",
  [[]],
  "a".repeat(5000),
];
const broken = ["", "{", "null", "[]", "7", '"x"', "\0", "[".repeat(100_000), '{"__proto__":1}', '{"constructor":{}}'];
const containerFields =
  "Cmd Entrypoint Env Labels User WorkingDir ExposedPorts Volumes Healthcheck StopSignal StopTimeout Hostname MacAddress Tty NetworkingConfig HostConfig";
const hostFields =
  "Binds Mounts PortBindings RestartPolicy NetworkMode CapAdd Dns ExtraHosts GroupAdd IpcMode CgroupParent PidMode SecurityOpt StorageOpt Tmpfs UsernsMode ShmSize Sysctls Runtime MaskedPaths Memory NanoCpus BlkioWeightDevice CpusetCpus Devices DeviceCgroupRules DeviceRequests PidsLimit Ulimits LogConfig Annotations VolumesFrom";
const names = [
  "%00",
  "%2e%2e%2f",
  "a%0ab",
  "%1b%5b31m",
  "%ff",
  "%",
  "a/".repeat(3000).concat("b"),
  "..",
  "-",
  "a".repeat(900),
  "sha256:zz",
  "bb@sha256:zz",
  "@",
  "bb::x",
];
const places: readonly (readonly [method: string, path: string])[] = [
  ["GET", "/containers/N/json"],
  ["GET", "/containers/N/logs?stdout=1"],
  ["GET", "/containers/N/export"],
  ["POST", "/containers/N/attach?stream=1"],
  ["POST", "/containers/N/start"],
  ["POST", "/containers/box/rename?name=N"],
  ["DELETE", "/containers/N"],
  ["GET", "/images/N/json"],
  ["GET", "/images/get?names=N"],
  ["DELETE", "/images/N"],
  ["POST", "/images/bb/tag?repo=N&tag=N"],
  ["POST", "/images/create?fromSrc=http://N"],
  ["GET", "/networks/N"],
  ["DELETE", "/volumes/N"],
  ["GET", "/exec/N/json"],
  ["POST", "/commit?container=box&repo=N&tag=N"],
  ["POST", "/containers/box/kill?signal=N"],
  ["GET", "/containers/box/archive?path=/N"],
  ["HEAD", "/containers/box/archive?path=N"],
  ["GET", "/containers/box/logs?stdout=1&tail=N&since=N"],
  ["POST", "/containers/box/resize?h=N&w=N"],
  ["GET", "/containers/json?limit=N"],
  ["GET", "/system/df?type=N"],
  ["GET", "/events?since=N&until=1"],
];

test.skipIf(reason, "wrong types, broken JSON, names of all kinds, garbage for archives", async (t) => {
  const own = await engine(t);
  const image = busyboxTar(t);
  const tar = join(temporaryDirectory(t), "bb.tar");
  writeFileSync(tar, image);
  await own.ok(["import", tar, "bb"]);
  await own.ok(["create", "--net", "none", "--name", "box", "bb", "sleep", "100"]);
  const wrong: string[] = [];
  const check = async (method: string, path: string, body?: string | Buffer, type?: string): Promise<Answer> => {
    const answer = await ask(own, method, path, body, type);
    const leaks = answer.status >= 400 && (answer.text.includes(own.root) || answer.text.includes(own.state));
    if (answer.status === 500 || leaks) wrong.push(`${answer.status} ${method} ${path} ${String(body ?? "").slice(0, 100)} ${answer.text}`);
    if (method === "POST" && answer.status === 201 && /^\/(containers|networks)\/create/.test(path))
      await ask(own, "DELETE", `/${path.split("/")[1]}/${JSON.parse(answer.text).Id}?force=1`);
    return answer;
  };
  const post = (path: string, body: object): Promise<Answer> => check("POST", path, JSON.stringify(body));
  for (const value of values) {
    for (const field of containerFields.split(" ")) await post("/containers/create", { Image: "bb", [field]: value });
    for (const field of hostFields.split(" ")) await post("/containers/create", { Image: "bb", HostConfig: { [field]: value } });
    for (const field of ["Subnet", "Gateway", "IPRange"])
      await post("/networks/create", { Name: "net", IPAM: { Config: [{ [field]: value }] } });
    for (const field of ["Driver", "IPAM", "Options", "Labels"]) await post("/networks/create", { Name: "net", [field]: value });
    for (const field of ["Name", "Driver", "DriverOpts", "Labels"]) await post("/volumes/create", { [field]: value });
    for (const field of ["Memory", "RestartPolicy", "CpusetCpus", "CpusetMems"]) await post("/containers/box/update", { [field]: value });
    for (const field of ["Container", "EndpointConfig"]) await post("/networks/bridge/connect", { Container: "box", [field]: value });
    for (const path of ["/containers/json", "/images/json", "/networks", "/volumes"])
      await check("GET", `${path}?filters=${encodeURIComponent(JSON.stringify(value))}`);
  }
  for (const body of broken)
    for (const path of ["/containers/create", "/networks/create", "/volumes/create", "/containers/box/exec", "/containers/box/update"])
      await check("POST", path, body);
  for (const name of names)
    for (const [method, path] of places) await check(method, path.replaceAll("N", name), method === "POST" ? "{}" : undefined);
  const garbage = [
    Buffer.alloc(0),
    Buffer.from("x"),
    Buffer.alloc(5000, 1),
    Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]),
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3]),
    Buffer.from("BZh9xxxxxxxxx"),
    Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2, 3]),
    image.subarray(0, 700),
    image.subarray(0, 100_000),
  ];
  for (const bytes of garbage)
    for (const [method, path] of [
      ["POST", "/images/load"],
      ["POST", "/images/create?fromSrc=-"],
      ["PUT", "/containers/box/archive?path=/srv"],
      ["PUT", "/containers/box/archive?path=/nope"],
      ["PUT", "/containers/box/archive?path=/etc/passwd"],
    ] as const)
      await check(method, path, bytes, "application/x-tar");
  assert.equal(wrong, []);
  assert.is((await post("/containers/create", { Image: "bb", HostConfig: { Memory: "much" } })).status, 400);
  // No part of it is in the records, where it would break the next start.
  assert.is(await own.ok(["network", "ls", "-q", "--filter", "type=custom"]), "");
  await own.stop();
  await own.start();
  // The engine still works.
  assert.is(await own.ok(["run", "--rm", "--net", "none", "bb", "echo", "well"]), "well\n");
});

test.skipIf(reason, "control characters of names, commands and labels reach no terminal", async (t) => {
  const own = await engine(t);
  const tar = join(temporaryDirectory(t), "bb.tar");
  writeFileSync(tar, busyboxTar(t));
  await own.ok(["import", "-c", 'LABEL a="\u001b[31m"', tar, "bb"]);
  const evil = "\u001b]0;mine\u0007\u009b31m";
  await own.ok([
    "run",
    "-d",
    "--net",
    "none",
    "--name",
    "box",
    "-l",
    `x=${evil}`,
    "bb",
    "sh",
    "-c",
    `touch "/srv/${evil}\nA /etc/shadow"; sleep 100; : '${evil}'`,
  ]);
  for (const argv of [
    ["ps", "--no-trunc"],
    ["ps", "--format", "{{.Command}} {{.Labels}}"],
    ["ps", "--format", "table {{.Command}}"],
    ["top", "box"],
    ["diff", "box"],
    ["history", "--no-trunc", "bb"],
    ["inspect", "-f", "{{.Config.Labels}}", "box"],
    ["logs", evil],
    ["run", evil],
    ["cp", `box:/${evil}`, "-"],
  ]) {
    const { stdout, stderr } = await own.run(argv);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
    assert.not.match(stdout + stderr, /[\x00-\x08\x0b-\x1f\x7f-\x9f]/, argv.join(" "));
  }
  assert.not.match(await own.ok(["diff", "box"]), /^A \/etc\/shadow/m);
  // The output of a container is not changed.
  assert.is(await own.ok(["exec", "box", "printf", "\\033[31m"]), "\u001b[31m");
});
