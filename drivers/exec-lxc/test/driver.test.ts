import { existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { type ContainerId, createCall, isTsboxError, type OciSpec, silentLog } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { LxcDriver } from "../src/driver.ts";
import { configOf, sysctlCommands } from "../src/internal/config.ts";
import { devCommands } from "../src/internal/devices.ts";
import { limitLines } from "../src/internal/limits.ts";
import { isMapped, mountedBefore, mountPoints } from "../src/internal/mounts.ts";
import { placeOf } from "../src/internal/place.ts";
import { explainLog } from "../src/internal/report.ts";
import { seccompPolicy } from "../src/internal/seccomp.ts";
import { checkUserLines } from "../src/internal/user-lines.ts";

const test = suite("exec-lxc");
const call = createCall(silentLog);
const id = "a".repeat(64) as ContainerId;
const plain: OciSpec = {
  ociVersion: "1.1.0",
  hostname: "inside",
  process: { args: ["true"], cwd: "/" },
  mounts: [],
  linux: { namespaces: ["mount", "pid", "network", "ipc", "uts", "cgroup"].map((type) => ({ type })), cgroupsPath: "/some/group" },
};
const lines = (spec: OciSpec, layout: "hybrid" | "v2" = "hybrid"): readonly string[] =>
  configOf({
    spec,
    place: placeOf("/bundle", isMapped(spec.linux ?? {})),
    cgroup: "/some/group",
    layout,
    program: "/opt/tsbox",
    options: [],
  }).split("\n");
const withLinux = (change: object): OciSpec => ({ ...plain, linux: { ...plain.linux, ...change } });
const withProcess = (change: object): OciSpec => ({ ...plain, process: { ...plain.process, ...change } });
const unsupported = (words: RegExp) => (error: unknown) => isTsboxError(error) && error.code === "Unsupported" && words.test(error.message);

test("namespaces: new ones, joined ones, and the host's", () => {
  const all = lines(plain);
  assert.ok(all.includes("lxc.net.0.type = empty"));
  assert.not.ok(all.some((line) => line.startsWith("lxc.namespace")));
  const joined = lines(withLinux({ namespaces: [{ type: "mount" }, { type: "network", path: "/proc/7/ns/net" }, { type: "pid" }] }));
  assert.ok(joined.includes("lxc.namespace.share.net = /proc/7/ns/net"));
  assert.ok(joined.includes("lxc.namespace.keep = user uts ipc cgroup"));
  const host = lines(withLinux({ namespaces: [{ type: "mount" }] }));
  assert.ok(host.includes("lxc.net.0.type = none"));
});

test("a user's lines: limits, for a privileged container more, and nothing that the engine sets itself", () => {
  const refused = (key: string, words: RegExp, { value = "1", privileged = false, layout = "hybrid" as "hybrid" | "v2" } = {}): void => {
    const wrong = (error: unknown): boolean => isTsboxError(error) && error.code === "InvalidArgument" && words.test(error.message);
    assert.throws(() => checkUserLines([{ key, value }], { privileged, layout }), wrong, key);
  };
  checkUserLines([{ key: "lxc.cgroup.cpuset.cpus", value: "0,1" }], { privileged: false, layout: "hybrid" });
  checkUserLines([{ key: "lxc.cgroup2.memory.high", value: "1M" }], { privileged: false, layout: "v2" });
  checkUserLines([{ key: "lxc.prlimit.nofile", value: "100" }], { privileged: false, layout: "v2" });
  for (const key of ["lxc.mount.entry", "lxc.cgroup.devices.allow", "lxc.keyring.session"]) {
    refused(key, /only --privileged may have it/);
    checkUserLines([{ key, value: "1" }], { privileged: true, layout: "hybrid" });
  }
  refused("lxc.cgroup.cpu.shares", /give lxc\.cgroup2/, { layout: "v2" });
  refused("lxc.cgroup2.cpu.weight", /give lxc\.cgroup$/);
  for (const [key, flag] of [
    ["lxc.utsname", /use --hostname/],
    ["lxc.cap.keep", /use --cap-add/],
    ["lxc.network.type", /use --net/],
    ["lxc.idmap", /use --userns/],
    ["lxc.cgroup.dir.container", /use --cgroup-parent/],
    ["lxc.rootfs.path", /use --storage/],
    ["lxc.hook.start-host", /does not pass it on; there are lxc\.cgroup\.\*, /],
    ["lxc.include", /does not pass it on/],
    ["lxc.console.path", /does not pass it on/],
  ] as const)
    for (const privileged of [false, true]) refused(key, flag, { privileged });
  for (const key of ["memory.limit_in_bytes", "lxc", "lxc.", "lxc.cgroup.a/../b", "lxc.prlimit.x\nlxc.include"]) refused(key, /no key/);
  for (const value of ["", "1\nlxc.include = /etc/x", "x".repeat(5_000)]) refused("lxc.prlimit.nofile", /its value/, { value });
  assert.throws(() => checkUserLines(Array(101).fill({ key: "lxc.prlimit.nofile", value: "1" }), { privileged: false, layout: "v2" }));
  const given = { spec: plain, place: placeOf("/bundle", false), cgroup: "/some/group", layout: "hybrid" as const, program: "/opt/tsbox" };
  const written = configOf({ ...given, options: [{ key: "lxc.cgroup.cpu.shares", value: "512" }] });
  assert.ok(written.endsWith("\nlxc.cgroup.cpu.shares = 512\n"));
});

test("what LXC has no word for is refused by its name", () => {
  const cases: readonly (readonly [OciSpec, RegExp])[] = [
    [withLinux({ namespaces: [{ type: "cgroup", path: "/x" }] }), /cgroup namespace by its path/],
    [withLinux({ timeOffsets: { boottime: { secs: 1, nanosecs: 5 } } }), /less than a second/],
    [withLinux({ resources: { cpu: { burst: 9 } } }), /linux\.resources\.cpu\.burst/],
    [withLinux({ devices: [{ path: "/opt/x", type: "c", major: 1, minor: 3 }] }), /device node \/opt\/x/],
    [withLinux({ devices: [{ path: "/dev/../etc/x", type: "c", major: 1, minor: 3 }] }), /device node/],
    [withProcess({ capabilities: { ambient: ["CAP_CHOWN"] } }), /capabilities\.ambient/],
    [withProcess({ scheduler: {} }), /process\.scheduler/],
    [{ ...plain, mounts: [{ destination: "/dev/x", type: "bind", source: "/", options: ["rbind", "rro"] }] }, /read-only mount of \//],
    [{ ...plain, mounts: [{ destination: "/sys/x", type: "tmpfs", options: ["tmpcopyup"] }] }, /tmpcopyup/],
    [{ ...plain, hostname: "two\nlines" }, /line break/],
  ];
  for (const [spec, words] of cases) assert.throws(() => lines(spec), unsupported(words), String(words));
});

test("a device below somebody else's mount is refused: a link there would lead out of the root", () => {
  const spec = { ...withLinux({ devices: [{ path: "/dev/own/x", type: "c", major: 1, minor: 3 }] }), mounts: [] };
  const [hook = ""] = lines(spec).filter((line) => line.startsWith("lxc.hook.autodev = sh -c "));
  assert.match(hook, /mknod -m 666 "\$LXC_ROOTFS_MOUNT"/);
  const covered = { ...spec, mounts: [{ destination: "/dev/own", type: "bind", source: "/tmp", options: ["bind"] }] };
  assert.throws(() => lines(covered), unsupported(/device node/));
  assert.ok(devCommands(spec).includes(`mknod -m 666 "$LXC_ROOTFS_MOUNT"'/dev/own/x' c 1 3`));
});

test("in a user namespace the shim mounts what the container's root may not reach, and nodes are the host's", () => {
  const bind = { destination: "/etc/hosts", type: "bind", source: "/run/engine/hosts", options: ["rbind"] };
  const shm = { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["size=64m"] };
  const maps = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const node = { path: "/dev/own", hostPath: "/dev/fuse", type: "c", major: 10, minor: 229 };
  const mapped: OciSpec = {
    ...withLinux({ namespaces: [{ type: "user", path: "/proc/7/ns/user" }], uidMappings: maps, gidMappings: maps, devices: [node] }),
    mounts: [bind, shm],
  };
  assert.equal(mountedBefore(mapped), [bind]);
  const all = lines(mapped);
  assert.ok(all.includes("lxc.namespace.share.user = /proc/7/ns/user"));
  assert.ok(all.includes("lxc.idmap = g 0 100000 65536"));
  assert.ok(all.includes("lxc.mount.entry = /dev/fuse dev/own none bind,create=file 0 0"));
  assert.not.ok(
    all.some((line) => line.includes("/etc/hosts") || line.includes("mknod")),
    "neither is LXC's",
  );
  assert.ok(all.some((line) => line.includes(" dev/shm ")));
});

test("one mount that LXC has no words for is made by the shim, and with it all others that may lie on it", () => {
  const volume = { destination: "/v", type: "bind", source: "/etc", options: ["rbind"] };
  const peer = { destination: "/peer", type: "bind", source: "/opt", options: ["rbind", "rshared"] };
  const copied = { destination: "/v/run", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] };
  assert.equal(mountedBefore({ ...plain, mounts: [volume, peer] }), []);
  assert.equal(mountedBefore({ ...plain, mounts: [volume, peer, copied] }), [volume, copied]);
});

test("the environment goes through unchanged, and no word of it ends a line", () => {
  const all = lines(withProcess({ env: ["A=1\n2", "B="] }));
  assert.ok(all.includes(`lxc.environment = TSBOX_ENTER_0=${Buffer.from("A=1\n2").toString("hex")}`));
  assert.ok(all.includes(`lxc.environment = TSBOX_ENTER_1=${Buffer.from("B=").toString("hex")}`));
});

test("words of mounts are escaped, and their places are made first", () => {
  const spec: OciSpec = {
    ...plain,
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: [] },
      { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [] },
      { destination: "/with space", type: "bind", source: "/etc", options: ["rbind", "ro"] },
      { destination: "/etc/hosts", type: "bind", source: "/etc/hosts", options: ["bind"] },
    ],
  };
  assert.ok(lines(spec).includes("lxc.mount.entry = /etc with\\040space none rbind,ro,create=dir 0 0"));
  assert.equal(mountPoints(spec), { directories: ["/dev", "/proc", "/sys", "/", "/proc", "/with space"], files: ["/etc/hosts"] });
});

test("sysctls are set by the host's shell, quoted", () => {
  assert.equal(sysctlCommands(withLinux({ sysctl: { "net.ipv4.ip_forward": "1'; reboot; '" } })), [
    `echo '1'\\''; reboot; '\\''' >'/proc/sys/net/ipv4/ip_forward'`,
  ]);
  assert.throws(() => sysctlCommands(withLinux({ sysctl: { "../x": "1" } })));
});

test("limits become files of v1 or v2", () => {
  const limits = { memory: { limit: 64, swap: 96 }, cpu: { shares: 512, quota: 50_000 }, pids: { limit: 7 } };
  assert.equal(limitLines(limits, "hybrid"), [
    "lxc.cgroup.memory.limit_in_bytes = 64",
    "lxc.cgroup.memory.memsw.limit_in_bytes = 96",
    "lxc.cgroup.cpu.shares = 512",
    "lxc.cgroup.cpu.cfs_quota_us = 50000",
    "lxc.cgroup.pids.max = 7",
  ]);
  assert.equal(limitLines(limits, "v2"), [
    "lxc.cgroup2.memory.max = 64",
    "lxc.cgroup2.memory.swap.max = 32",
    "lxc.cgroup2.cpu.weight = 20",
    "lxc.cgroup2.cpu.max = 50000 100000",
    "lxc.cgroup2.pids.max = 7",
  ]);
  assert.equal(limitLines({ memory: { swap: -1 }, pids: { limit: -1 } }, "v2"), [
    "lxc.cgroup2.memory.swap.max = max",
    "lxc.cgroup2.pids.max = max",
  ]);
  const rules = limitLines(
    {
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 10, minor: 229, access: "rw" },
      ],
    },
    "v2",
  );
  assert.equal(rules.slice(0, 2), ["lxc.cgroup2.devices.deny = a", "lxc.cgroup2.devices.allow = c 10:229 rw"]);
});

test("a seccomp profile becomes a policy of LXC", () => {
  const policy = seccompPolicy({
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    syscalls: [
      { names: ["read", "write"], action: "SCMP_ACT_ALLOW" },
      { names: ["personality"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 8, op: "SCMP_CMP_EQ" }] },
      { names: ["clone"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 256, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }] },
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
      { names: ["reboot"], action: "SCMP_ACT_ERRNO" },
    ],
  });
  assert.equal(policy.split("\n"), [
    "2",
    "allowlist errno 1",
    "[all]",
    "read allow",
    "write allow",
    "personality allow [0,8,SCMP_CMP_EQ]",
    "clone allow [0,0,SCMP_CMP_MASKED_EQ,256]",
    "clone3 errno 38",
    "",
  ]);
  for (const profile of [
    { defaultAction: "SCMP_ACT_LOG" },
    { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_LOG"] },
    { defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_MIPS"] },
  ])
    assert.throws(() => seccompPolicy(profile), unsupported(/linux\.seccomp/));
});

test("LXC's log explains a start that failed, and an end that the kernel kept to itself", () => {
  const at = (level: string, words: string): string =>
    `lxc-start x 20261130112103.877 ${level.padEnd(8)} conf - ../src/lxc/conf.c:setup:12 - ${words}`;
  const optional = [
    at("ERROR", 'Not a directory - Failed to mount "tmpfs" onto "/r/keys"'),
    at("INFO", 'Not a directory - Failed to mount "tmpfs" on "/r/keys" (optional)'),
  ];
  assert.equal(explainLog([...optional, at("INFO", "Child <7> ended on error (5)")].join("\n")), { exitCode: 5 });
  assert.equal(explainLog(at("INFO", "Child <7> ended on signal Killed(9)")), { exitCode: 137 });
  assert.equal(explainLog(""), { exitCode: 0 });
  assert.equal(explainLog([...optional, at("ERROR", "No such device"), at("ERROR", "Failed to spawn")].join("\n")), {
    code: "Internal",
    message: "LXC: No such device; Failed to spawn",
  });
});

function world(t: Case): { readonly driver: LxcDriver; readonly path: string; readonly bundle: string } {
  const directory = temporaryDirectory(t);
  const path = join(directory, "containers");
  return {
    driver: new LxcDriver({ cgroups: { layout: "hybrid" }, program: "/opt/tsbox" }, path),
    path,
    bundle: mkdtempSync(join(directory, "bundle-")),
  };
}

test("LXC finds the container by its id, until it is forgotten", async (t) => {
  const { driver, path, bundle } = world(t);
  const launch = await driver.plan(call, { id, directory: bundle, spec: plain, rootfs: [] });
  assert.ok(launch.kind === "command" && launch.stays && launch.enter);
  assert.is(readlinkSync(join(path, id)), join(bundle, "lxc"));
  assert.match(readFileSync(join(path, id, "config"), "utf8"), /^lxc\.uts\.name = inside\n/);
  const listed: string[] = [];
  for await (const each of await driver.list()) listed.push(each);
  assert.equal(listed, [id]);
  await driver.ended(call, id);
  assert.not.ok(existsSync(join(path, id)));
  await driver.delete(call, id);
});

test("what the configuration has no line for is refused, not dropped", async (t) => {
  const { driver, bundle } = world(t);
  const cases: readonly (readonly [string, OciSpec])[] = [
    ["hooks", { ...plain, hooks: { createRuntime: [{ path: "/bin/true" }] } }],
    ["domainname", { ...plain, domainname: "example.org" }],
    ["linux.mountLabel", withLinux({ mountLabel: "system_u:object_r:container_file_t:s0" })],
    ["linux.resources.unified", withLinux({ resources: { unified: { "memory.high": "1" } } })],
  ];
  for (const [field, spec] of cases)
    await driver.plan(call, { id, directory: bundle, spec, rootfs: [] }).then(
      () => assert.unreachable(`${field} was taken`),
      (error) => assert.ok(unsupported(new RegExp(field.replaceAll(".", "\\.")))(error), String(error)),
    );
});

test("a spec that is refused leaves nothing", async (t) => {
  const { driver, path, bundle } = world(t);
  mkdirSync(path);
  const spec = withLinux({ namespaces: [{ type: "cgroup", path: "/x" }] });
  await driver.plan(call, { id, directory: bundle, spec, rootfs: [] }).then(
    () => assert.unreachable(),
    (error) => assert.ok(unsupported(/cgroup namespace/)(error)),
  );
  assert.not.ok(existsSync(join(bundle, "lxc")));
});
