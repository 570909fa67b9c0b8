/** Devices by name: CDI specs of the host, with our client and with docker's. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { docker } from "../src/docker.ts";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("CDI devices", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const none = ["run", "--rm", "--net", "none"] as const;

interface World {
  readonly own: Engine;
  /** Two spec directories; the second has priority. */
  readonly directories: readonly [string, string];
  readonly shared: string;
}

async function world(t: Case): Promise<World> {
  const directory = temporaryDirectory(t);
  const directories = [join(directory, "etc"), join(directory, "run")] as const;
  const shared = join(directory, "shared");
  for (const path of [...directories, shared]) mkdirSync(path);
  writeFileSync(join(shared, "library"), "of the vendor\n");
  const config = join(directory, "config.json");
  writeFileSync(config, JSON.stringify({ plugins: [{ package: "@tsbox/containers", config: { cdiSpecDirs: directories } }] }));
  writeFileSync(
    join(directories[0], "vendor.yaml"),
    `cdiVersion: "0.6.0"
kind: vendor.com/class
containerEdits:
  env:
  - VENDOR=yes
  mounts:
  - hostPath: ${shared}
    containerPath: /opt/vendor
    options: [ro, nosuid, rbind, rprivate]
  hooks:
  - hookName: createContainer
    path: /bin/sh
    args: [sh, -c, 'cat > ${shared}/state; echo "$OF" > ${shared}/hook; true']
    env: [OF=the-hook]
devices:
- name: one
  containerEdits:
    deviceNodes:
    - path: /dev/vendor/one
      hostPath: /dev/zero
      permissions: r
    additionalGids: [4321]
- name: two
  containerEdits:
    env: [TWO=2]
`,
  );
  const own = await engine(t, config);
  // The root of a user namespace has no rights here, and its hooks must pass through these directories.
  for (const path of [directory, own.state]) chmodSync(path, 0o711);
  return { own, directories, shared };
}

const look =
  "echo $VENDOR $TWO; stat -c '%F %t:%T' /dev/vendor/one; head -c 2 /dev/vendor/one | od -An -tx1; cat /opt/vendor/library; id -G";
const seen = "yes\ncharacter special file 1:5\n 00 00\nof the vendor\n0 4321\n";

test.skipIf(
  reason,
  "a device of a spec: its node and right, variables, mounts, groups and hooks; execs and user namespaces have it too",
  async (t) => {
    const { own, shared } = await world(t);
    const one = ["--device", "vendor.com/class=one"] as const;
    assert.is(await own.ok([...none, ...one, "host:/", "sh", "-c", look]), seen);
    assert.is(readFileSync(join(shared, "hook"), "utf8"), "the-hook\n");
    assert.is(JSON.parse(readFileSync(join(shared, "state"), "utf8")).status, "creating");
    // Only for reading, since the container may make the node itself, too.
    const write = "touch /opt/vendor/x 2>/dev/null || echo refused; mknod /tmp/zero c 1 5; rm -f /tmp/zero; echo $TWO";
    assert.is(await own.ok([...none, ...one, "--device", "vendor.com/class=two", "host:/", "sh", "-c", write]), "refused\n2\n");
    assert.is(await own.ok([...none, "--userns", "private", ...one, "host:/", "sh", "-c", look]), seen);
    const elsewhere = ["--userns", "private", "--device", "/dev/zero:/dev/other/zero"];
    assert.is(await own.ok([...none, ...elsewhere, "host:/", "sh", "-c", "head -c 1 /dev/other/zero | od -An -tx1"]), " 00\n");
    await own.ok(["run", "-d", "--name", "box", "--net", "none", ...one, "host:/", "sleep", "1000"]);
    assert.is(await own.ok(["exec", "box", "sh", "-c", "echo $VENDOR; cat /opt/vendor/library"]), "yes\nof the vendor\n");
    const requests = await own.ok(["inspect", "-f", "{{json .HostConfig.DeviceRequests}}", "box"]);
    assert.match(requests, /"Driver":"cdi".*"vendor\.com\/class=one"/);
  },
);

/** A hook like NVIDIA's: from the state it finds the bundle, from its config.json the root, in which it makes files and runs a program. */
const hook = (log: string): string => `#!/bin/sh
set -e
bundle=$(sed 's/.*"bundle":"\\([^"]*\\)".*/\\1/')
root=$(sed 's/.*"root":{"path":"\\([^"]*\\)".*/\\1/' "$bundle/config.json")
case $root in /*) ;; *) root=$bundle/$root ;; esac
ln -s /opt/vendor/library "$root/made-by-hook"
chroot "$root" /bin/sh -c 'id -u; [ -c /dev/vendor/one ] && echo device' >"${log}"
`;

test.skipIf(reason, "a hook finds the container's root by its bundle, in user namespaces too", async (t) => {
  const { own, directories, shared } = await world(t);
  const program = join(shared, "hook-program");
  writeFileSync(program, hook(join(shared, "log")), { mode: 0o755 });
  writeFileSync(join(shared, "log"), "");
  chmodSync(join(shared, "log"), 0o666);
  const edits = { hooks: [{ hookName: "createContainer", path: program, args: ["hook-program"] }] };
  const spec = { cdiVersion: "0.6.0", kind: "vendor.com/hooked", containerEdits: edits, devices: [{ name: "all", containerEdits: {} }] };
  writeFileSync(join(directories[1], "hooked.json"), JSON.stringify(spec));
  const devices = ["--device", "vendor.com/class=one", "--device", "vendor.com/hooked=all"];
  for (const more of [[], ["--userns", "private"]]) {
    writeFileSync(join(shared, "log"), "");
    const ran = await own.ok([...none, ...more, ...devices, "-e", "SECRET=1", "host:/", "sh", "-c", "cat /made-by-hook"]);
    assert.is(ran, "of the vendor\n", more.join(" "));
    assert.is(readFileSync(join(shared, "log"), "utf8"), "0\ndevice\n", more.join(" "));
  }
  const id = (await own.ok(["run", "-d", "--name", "box", "--net", "none", ...devices, "host:/", "sleep", "1000"])).trim();
  const bundle = join(own.state, "containers", id);
  assert.is(statSync(join(bundle, "config.json")).mode & 0o777, 0o600);
  assert.equal(readdirSync(join(bundle, "rootfs")), [], "the root is seen on the host");
  const failing = { ...edits, hooks: [{ hookName: "createContainer", path: "/bin/false" }] };
  writeFileSync(join(directories[1], "hooked.json"), JSON.stringify({ ...spec, containerEdits: failing }));
  const { code, stderr } = await own.run([...none, ...devices, "host:/", "true"]);
  assert.is(code, 125);
  assert.match(stderr, /createContainer hook \/bin\/false: exit status: 1/);
});

test.skipIf(
  reason,
  "info lists the devices; a changed spec applies from the next start on; an unknown device is refused with Docker's message",
  async (t) => {
    const { own, directories } = await world(t);
    const info = async (): Promise<unknown> => {
      const text = await own.ok(["info", "-f", "{{json .CDISpecDirs}} {{json .DiscoveredDevices}}"]);
      return text.trim();
    };
    const devices = (...names: readonly string[]): string =>
      `${JSON.stringify(directories)} ${JSON.stringify(names.map((name) => ({ Source: "cdi", ID: `vendor.com/class=${name}` })))}`;
    assert.is(await info(), devices("one", "two"));
    await own.ok(["create", "--name", "box", "--net", "none", "--device", "vendor.com/class=two", "host:/", "sh", "-c", "echo $TWO"]);
    const edits = { containerEdits: { env: ["TWO=of the other directory"] } };
    const other = join(directories[1], "other.json");
    writeFileSync(other, JSON.stringify({ cdiVersion: "0.5.0", kind: "vendor.com/class", devices: [{ name: "two", ...edits }] }));
    assert.is(await own.ok(["start", "-a", "box"]), "of the other directory\n");
    writeFileSync(other, "{");
    assert.is(await own.ok(["start", "-a", "box"]), "2\n");
    assert.is(await info(), devices("one", "two"));
    rmSync(join(directories[0], "vendor.yaml"));
    assert.is(await info(), devices());
    const gone = await own.run([...none, "--device", "vendor.com/class=two", "--device", "x.y/z=0", "host:/", "true"]);
    assert.equal(gone, {
      code: 125,
      stdout: "",
      stderr: "tsbox: CDI device injection failed: unresolvable CDI devices vendor.com/class=two, x.y/z=0\n",
    });
  },
);

test.skipIf(
  reason ?? docker.reason,
  "docker's own client does the same; --gpus means devices of nvidia.com/gpu, or is refused with Docker's message",
  async (t) => {
    const { own, directories } = await world(t);
    const words = 'could not select device driver "" with capabilities: [[gpu]]';
    const ours = await own.run([...none, "--gpus", "all", "host:/", "true"]);
    assert.equal([ours.code, ours.stderr], [125, `tsbox: ${words}\n`]);
    await own.ok(["run", "--name", "made", "--net", "none", "host:/", "true"]);
    await own.ok(["tag", "host:/", "machine:1"]);
    const dockers = (...argv: readonly string[]): { readonly code: number | null; readonly text: string } => {
      const environment = { PATH: process.env.PATH ?? "", HOME: own.state, DOCKER_HOST: `unix://${own.socket}` };
      const { status, stdout, stderr } = spawnSync(docker.path, argv as string[], { env: environment, encoding: "utf8" });
      return { code: status, text: `${stdout}${stderr}` };
    };
    const theirs = dockers(...none, "--gpus", "all", "machine:1", "true");
    assert.equal([theirs.code, theirs.text.includes(words)], [125, true], theirs.text);
    assert.equal(dockers(...none, "--device", "vendor.com/class=one", "machine:1", "sh", "-c", look), { code: 0, text: seen });
    assert.match(dockers("info").text, /CDI spec directories:\n +\/\S+\n/);
    const gpu = (name: string): object => ({ name, containerEdits: { env: [`GPU_${name}=yes`] } });
    const spec = { cdiVersion: "0.5.0", kind: "nvidia.com/gpu", devices: ["0", "1", "all"].map(gpu) };
    writeFileSync(join(directories[1], "nvidia.json"), JSON.stringify(spec));
    const gpus = ["sh", "-c", "env | grep ^GPU_ | sort"] as const;
    for (const [wish, expected] of [
      ["all", "GPU_all=yes\n"],
      ["2", "GPU_0=yes\nGPU_1=yes\n"],
      ["device=1", "GPU_1=yes\n"],
      ['"device=0,1",capabilities=utility', "GPU_0=yes\nGPU_1=yes\n"],
    ] as const) {
      assert.is(await own.ok([...none, "--gpus", wish, "host:/", ...gpus]), expected, wish);
      assert.equal(dockers(...none, "--gpus", wish, "machine:1", ...gpus), { code: 0, text: expected }, wish);
    }
  },
);
