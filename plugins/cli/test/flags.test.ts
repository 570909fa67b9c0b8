import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { CommandError } from "../src/command-error.ts";
import { standingFlags } from "../src/command-table.ts";
import { imageOf } from "../src/commands/pull.ts";
import { createBody, publish, run } from "../src/commands/run.ts";
import { gpuRequest, isQualified } from "../src/devices.ts";
import { asksForHelp, parseFlags } from "../src/flags.ts";
import { compileTemplate } from "../src/template.ts";
import { duration } from "../src/units.ts";

const test = suite("cli: flags and templates");
const parse = (...argv: string[]): ReturnType<typeof parseFlags> => parseFlags("run", argv, run.flags, false);

test("short flags stand together, values behind or beside", () => {
  const parsed = parse("-it", "--rm", "-e", "A=1", "--env=B=2", "-w/srv", "--name", "x", "image", "-e", "not ours");
  assert.ok(parsed.bool("interactive") && parsed.bool("tty") && parsed.bool("rm"));
  assert.equal(parsed.list("env"), ["A=1", "B=2"]);
  assert.is(parsed.text("workdir"), "/srv");
  assert.equal(parsed.words, ["image", "-e", "not ours"]);
});

test("a wrong flag exits 125 and says what is wrong", () => {
  for (const [argv, text] of [
    [["--nope"], /unknown flag: --nope/],
    [["-y"], /unknown shorthand flag: 'y' in -y/],
    [["--name"], /flag needs an argument: --name/],
    [["--rm=maybe"], /invalid argument "maybe"/],
    [["--toString"], /unknown flag: --toString/],
  ] as const)
    assert.throws(
      () => parse(...argv),
      (error: unknown) => error instanceof CommandError && error.exitCode === 125 && text.test(error.message),
    );
});

test("help is asked for among a command's own flags, not in their values and not in another program's words", () => {
  const asks = (line: string): boolean => asksForHelp(line.split(" "), run.flags, false);
  for (const line of ["--help", "--rm --help", "-it --name --help --help", "-itv a:b -h x --help"]) assert.ok(asks(line), line);
  for (const line of ["box --help", "--name --help box", "-h box", "-it -- --help", "-itv --help box"]) assert.not.ok(asks(line), line);
  assert.ok(asksForHelp(["x", "-h"], {}, true));
});

test("the native client knows which flags take no value", () => {
  const source = readFileSync(join(import.meta.dirname, "../../../native/client/src/endpoint.rs"), "utf8");
  const listed = /const STANDING: [^=]+= \[([^\]]+)\]/.exec(source)?.[1] ?? "";
  assert.equal(
    [...listed.matchAll(/"([^"]+)"/g)].map(([, name]) => name),
    [...standingFlags()].sort(),
  );
});

test("ports are published as docker reads them", () => {
  assert.equal(publish("80"), [["80/tcp", { HostIp: "", HostPort: "" }]]);
  assert.equal(publish("127.0.0.1:8080:80/udp"), [["80/udp", { HostIp: "127.0.0.1", HostPort: "8080" }]]);
  assert.equal(publish("[::1]:1:2"), [["2/tcp", { HostIp: "::1", HostPort: "1" }]]);
  assert.is(publish("8000-8002:90-92").length, 3);
  for (const wrong of ["", "a:b", "1:2:3:4", "80/xyz", "99999:80", "8000-8002:90-91"])
    assert.throws(() => publish(wrong), /invalid publish specification/);
});

test("a body is Docker's", () => {
  const body = createBody(
    { environment: { HERE: "yes" }, workingDirectory: "/work" },
    parse("-d", "-m", "64m", "--cpus", "1.5", "-e", "HERE", "-e", "GONE", "-v", "/a:/b:ro", "img", "cmd", "arg"),
  );
  const host = body.HostConfig as Readonly<Record<string, unknown>>;
  assert.equal([body.Image, body.Cmd, body.Env, body.StdinOnce], ["img", ["cmd", "arg"], ["HERE=yes"], false]);
  assert.equal([host.Memory, host.NanoCpus, host.Binds], [64 << 20, 1.5e9, ["/a:/b:ro"]]);
});

test("a path of another transport is the user's own", () => {
  assert.is(imageOf({ workingDirectory: "/home/me" }, "oci:layout:tag"), "oci:/home/me/layout:tag");
  for (const image of ["oci:/abs", "host:/", "debian:12", "oci.example/x"])
    assert.is(imageOf({ workingDirectory: "/home/me" }, image), image);
});

test("templates read as Go's", () => {
  const subject = { Id: "abc", State: { Pid: 7 }, List: ["a", "b"], Map: { k: "v", j: "w" }, Ports: { "80/tcp": [{ HostPort: "8080" }] } };
  for (const [template, text] of [
    ["{{.Id}}\\t{{.State.Pid}}", "abc\t7"],
    ["{{json .List}}", '["a","b"]'],
    ['{{join .List ","}}', "a,b"],
    ["{{range .List}}<{{.}}>{{end}}", "<a><b>"],
    ["{{range $k, $v := .Map}}{{$k}}={{$v}};{{end}}", "j=w;k=v;"],
    ["{{if eq .State.Pid 7}}yes{{else}}no{{end}}", "yes"],
    ['{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"],
    ["{{.Map}}", "map[j:w k:v]"],
    ["{{len .List}} {{upper .Id}}", "2 ABC"],
    ["{{.Id | upper | json}}", '"ABC"'],
  ] as const)
    assert.is(compileTemplate(template)(subject), text, template);
  assert.throws(() => compileTemplate("{{.Nope}}")(subject), /can't evaluate field Nope/);
  assert.throws(() => compileTemplate("{{range .List}}"), /template parsing error/);
});

test("name servers are addresses, --dns-opt is --dns-option", () => {
  const host = (...flags: string[]): unknown => createBody({ environment: {}, workingDirectory: "/" }, parse(...flags, "image")).HostConfig;
  const { Dns, DnsOptions } = host("--dns", "1.1.1.1", "--dns", "fd00::1", "--dns-opt", "ndots:2", "--dns-option", "rotate") as {
    readonly Dns: unknown;
    readonly DnsOptions: unknown;
  };
  assert.equal(
    [Dns, DnsOptions],
    [
      ["1.1.1.1", "fd00::1"],
      ["rotate", "ndots:2"],
    ],
  );
  assert.throws(() => host("--dns", "bogus"), /invalid argument "bogus" for "--dns" flag: IP address is not correctly formatted/);
});

test("durations are Go's, up to its longest", () => {
  for (const [text, nanoseconds] of [
    ["1h1m1.5s", 3661.5e9],
    ["-2ms", -2e6],
    ["0", 0],
  ] as const)
    assert.is(duration("x", text), nanoseconds);
  assert.ok(duration("x", "2562047h") > 9e18);
  for (const wrong of ["2562048h", "9999999999h", "5", "", "1d", "1h 2m"])
    assert.throws(() => duration("x", wrong), /time: invalid duration/, wrong);
});

test("--format: fields that the JSON leaves out are empty, as in docker's records", () => {
  const subject = { State: { Status: "running" }, Config: { Env: [] } };
  for (const [template, text] of [
    ["{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"],
    ["{{with .State.Health}}{{.Status}}{{end}}", ""],
    ["{{.State.Health}} {{json .State.Health}}", "<nil> null"],
    ["{{range $k, $v := .Config.ExposedPorts}}{{$k}}{{end}}{{len .Config.ExposedPorts}} {{.Config.ExposedPorts}}", "0 map[]"],
    ["{{.Config.Healthcheck}} {{.Config.Shell}} {{.Config.MacAddress}}{{.SizeRw}}", "<nil> [] <nil>"],
    ["{{not .Config.NetworkDisabled}}", "true"],
  ] as const)
    assert.is(compileTemplate(template)(subject), text, template);
  assert.throws(() => compileTemplate("{{.State.Health.Status}}")(subject), /can't evaluate field Health/);
});

test("devices by name: CDI names and paths are distinguished, --gpus is parsed as docker does", () => {
  for (const [entry, expected] of [
    ["nvidia.com/gpu=all", true],
    ["vendor.com/class-a=GPU-1:2", true],
    ["/dev/fuse", false],
    ["dev/fuse:rw", false],
    ["/dev/x=y", false],
    ["vendor/class", false],
  ] as const)
    assert.is(isQualified(entry), expected, entry);
  const gpus = (text: string) => {
    const { Driver, Count, DeviceIDs, Capabilities } = gpuRequest(text);
    return [Driver, Count, DeviceIDs, Capabilities];
  };
  assert.equal(gpus("all"), ["", -1, null, [["gpu"]]]);
  assert.equal(gpus("driver=nvidia,2"), ["nvidia", 2, null, [["gpu"]]]);
  assert.equal(gpus("capabilities=utility"), ["", 1, null, [["utility", "gpu"]]]);
  assert.equal(gpus('"device=0,GPU-1","capabilities=compute,utility"'), ["", 0, ["0", "GPU-1"], [["compute", "utility", "gpu"]]]);
  for (const [text, words] of [
    ["some", /invalid count \(some\)/],
    ["color=red", /unexpected key 'color'/],
    ["count=1,count=2", /only once/],
  ] as const)
    assert.throws(() => gpuRequest(text), words);
});
