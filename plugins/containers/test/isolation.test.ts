/** What a start looks up and decides: namespaces of other containers, ids for user namespaces, seccomp profiles, limits. */
import { suite } from "@tsbox/harness";
import { type Container, type ContainerId, isTsboxError } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { IdRanges, type Subordinate } from "../src/id-ranges.ts";
import { namespaceSources } from "../src/namespaces.ts";
import type { Records } from "../src/records.ts";
import { composeLabels, sharedLabel } from "../src/selinux.ts";
import { mappedDevices, parseRule } from "../src/spec/devices.ts";
import { blockDevicesOf, cgroupsPath, resourcesOf, rlimitsOf } from "../src/spec/limits.ts";
import { profileFor } from "../src/spec/seccomp-profile.ts";
import { hiddenPaths, labelsOf, noNewPrivileges, seccompOf } from "../src/spec/security.ts";

const test = suite("containers: isolation and limits");
const code =
  (expected: string) =>
  (error: unknown): boolean =>
    isTsboxError(error) && error.code === expected;
const id = (letter: string): ContainerId => letter.repeat(64) as ContainerId;
const own = { ipc: "private", pid: "private", uts: "private", cgroup: "private", user: "host", time: null };

function container(name: string, isolation: Partial<typeof own>, status = "running", network = "bridge"): Container {
  return {
    id: id(name),
    name,
    status,
    pid: status === "running" ? 42 : null,
    config: { isolation: { ...own, ...isolation }, network },
  } as Container;
}
function recordsOf(...all: Container[]): Records {
  return { find: (reference: string) => all.find((one) => one.name === reference) } as unknown as Records;
}

test("a namespace is new, the host's, or another running container's", () => {
  const donor = container("a", { ipc: "shareable" });
  const records = recordsOf(donor, container("b", {}), container("c", { ipc: "shareable" }, "exited"));
  const plain = namespaceSources(records, container("d", {}));
  assert.equal(
    [plain.ipc, plain.pid, plain.uts, plain.cgroup, plain.network, plain.sharedMemory],
    ["new", "new", "new", "new", "new", null],
  );
  const joined = namespaceSources(
    records,
    container("d", { ipc: "container:a", pid: "container:b", uts: "host" }, "created", "container:a"),
  );
  assert.equal([joined.ipc, joined.pid, joined.uts], ["/proc/42/ns/ipc", "/proc/42/ns/pid", "host"]);
  assert.equal([joined.network, joined.networkOf?.name, joined.sharedMemory], ["/proc/42/ns/net", "a", "/proc/42/root/dev/shm"]);
  assert.is(namespaceSources(records, container("d", { ipc: "none" })).sharedMemory, "none");
  assert.throws(() => namespaceSources(records, container("d", { ipc: "container:b" })), /non-shareable IPC/);
  assert.throws(() => namespaceSources(records, container("d", { pid: "container:c" })), code("Conflict"));
});

test("ranges of ids never overlap, keep clear of everybody's, and come back", () => {
  const others: Subordinate[] = [{ user: "dev", range: { first: (1 << 30) + 100, count: 65_536 } }];
  const ranges = new IdRanges(() => others);
  const [a, b] = [ranges.of(id("a")), ranges.of(id("b"))];
  assert.is(a.uids[0]?.hostId, (1 << 30) + 2 * 65_536, "the first two blocks touch somebody else's");
  assert.is(b.uids[0]?.hostId, (1 << 30) + 3 * 65_536);
  assert.equal(ranges.of(id("a")), a, "the same until it is freed");
  ranges.free(id("a"));
  assert.equal(ranges.of(id("c")), a);
  const aside = new IdRanges(() => [{ user: "tsbox", range: { first: 200_000, count: 2 * 65_536 } }, ...others]);
  assert.equal([aside.of(id("a")).gids[0]?.hostId, aside.of(id("b")).gids[0]?.hostId], [200_000, 265_536]);
  assert.throws(() => aside.of(id("c")), code("ResourceExhausted"));
  const again = new IdRanges(() => []);
  again.hold(id("z"), { uids: [{ containerId: 0, hostId: 1 << 30, size: 65_536 }], gids: [] });
  assert.is(again.of(id("a")).uids[0]?.hostId, (1 << 30) + 65_536);
});

test("a seccomp profile in Docker's words is decided for capabilities, processor and kernel", () => {
  const host = { machine: "x64", kernel: "6.1.0-13-amd64" };
  const profile = {
    defaultAction: "SCMP_ACT_ERRNO",
    archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
    syscalls: [
      { names: ["read"], action: "SCMP_ACT_ALLOW" },
      { name: "write", action: "SCMP_ACT_ALLOW" },
      { names: ["mount"], action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_SYS_ADMIN"] } },
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38, excludes: { caps: ["CAP_SYS_ADMIN"] } },
      { names: ["s390_x"], action: "SCMP_ACT_ALLOW", includes: { arches: ["s390x"] } },
      { names: ["ptrace"], action: "SCMP_ACT_ALLOW", includes: { minKernel: "4.8" } },
      { names: ["later"], action: "SCMP_ACT_ALLOW", includes: { minKernel: "6.12" } },
    ],
  };
  const names = (capabilities: readonly string[]): readonly string[] =>
    profileFor(profile, capabilities, host).syscalls.flatMap((rule) => rule.names);
  assert.equal(names([]), ["read", "write", "clone3", "ptrace"]);
  assert.equal(names(["CAP_SYS_ADMIN"]), ["read", "write", "mount", "ptrace"]);
  assert.equal(profileFor(profile, [], host).architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
  assert.throws(() => profileFor({ syscalls: [] }, [], host), code("InvalidArgument"));
  assert.throws(() => profileFor({ ...profile, architectures: ["SCMP_ARCH_X86"] }, [], host), code("InvalidArgument"));
});

test("security options: the last of a kind counts, and what can't be applied is refused", () => {
  const of = (...securityOptions: string[]) => ({ privileged: false, securityOptions, maskedPaths: null, readonlyPaths: null });
  assert.is(noNewPrivileges(of("no-new-privileges")), true);
  assert.is(noNewPrivileges(of("no-new-privileges", "no-new-privileges=false")), false);
  assert.is(seccompOf(of("seccomp=unconfined"), []), undefined);
  assert.is((seccompOf(of(), []) as { defaultAction: string }).defaultAction, "SCMP_ACT_ERRNO");
  assert.is((seccompOf(of('seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'), []) as { defaultAction: string }).defaultAction, "SCMP_ACT_ALLOW");
  assert.is(seccompOf({ ...of(), privileged: true }, []), undefined);
  assert.equal(hiddenPaths(of("systempaths=unconfined")), {});
  assert.ok((hiddenPaths(of()).maskedPaths ?? []).includes("/proc/kcore"));
  assert.equal(hiddenPaths({ ...of(), maskedPaths: [], readonlyPaths: ["/x"] }), { maskedPaths: [], readonlyPaths: ["/x"] });
  const none = { apparmor: null, selinux: null };
  const armed = { ...none, apparmor: { defaultProfile: "usual" } };
  assert.throws(() => labelsOf(of("apparmor=mine"), none), code("FailedPrecondition"));
  assert.equal(labelsOf(of("apparmor=unconfined"), none), {});
  assert.equal(labelsOf(of("apparmor=mine"), armed), { apparmorProfile: "mine" });
  assert.equal(labelsOf(of(), armed), { apparmorProfile: "usual" });
  assert.equal(labelsOf({ ...of(), privileged: true }, armed), {});
  const selinux = { process: "a:b:c:s0", mount: "a:b:d:s0" };
  assert.equal(labelsOf(of(), { ...none, selinux }), { selinuxLabel: "a:b:c:s0", mountLabel: "a:b:d:s0" });
});

test("SELinux labels: container-selinux's types, categories of its own, or another container's", () => {
  const { process, mount } = composeLabels([], null);
  assert.match(process, /^system_u:system_r:container_t:s0:c\d+,c\d+$/);
  assert.is(mount, process.replace("system_r:container_t", "object_r:container_file_t"));
  assert.is.not(composeLabels([], null).process + composeLabels([], null).process, process + process);
  // The last value takes precedence; the list has it first.
  assert.equal(composeLabels(["type:other_t", "type:lost_t", "level:s0:c1,c2", "filetype:files_t"], null), {
    process: "system_u:system_r:other_t:s0:c1,c2",
    mount: "system_u:object_r:files_t:s0:c1,c2",
  });
  assert.equal(composeLabels([], { process: "u:r:t:s0:c5,c6", mount: "" }), {
    process: "u:r:t:s0:c5,c6",
    mount: "system_u:object_r:container_file_t:s0:c5,c6",
  });
  assert.is(sharedLabel({ process, mount }), "system_u:object_r:container_file_t:s0");
});

test("limits in the runtime spec's words", () => {
  const none = {
    memory: null,
    memorySwap: null,
    memoryReservation: null,
    cpuShares: null,
    cpuQuota: null,
    cpuPeriod: null,
    cpusetCpus: null,
    cpusetMems: null,
    cpuRealtimePeriod: null,
    cpuRealtimeRuntime: null,
    memorySwappiness: null,
    oomKillDisable: false,
    pids: null,
    blockWeight: null,
    blockWeightDevices: [],
    blockReadBytes: [],
    blockWriteBytes: [],
    blockReadOperations: [],
    blockWriteOperations: [],
    hugepages: {},
  };
  assert.equal(resourcesOf(none, new Map()), {});
  assert.equal(resourcesOf({ ...none, memory: 64, pids: 5 }, new Map()), { memory: { limit: 64, swap: 128 }, pids: { limit: 5 } });
  const throttled = { ...none, blockWeight: 10, blockReadBytes: [{ path: "/dev/a", value: 7 }], hugepages: { "2MB": 4 } };
  assert.equal(blockDevicesOf(throttled), ["/dev/a"]);
  assert.equal(resourcesOf(throttled, new Map([["/dev/a", { major: 8, minor: 1 }]])), {
    blockIO: { weight: 10, throttleReadBpsDevice: [{ major: 8, minor: 1, rate: 7 }] },
    hugepageLimits: [{ pageSize: "2MB", limit: 4 }],
  });
  assert.equal(rlimitsOf([{ name: "nofile", soft: 5, hard: -1 }]), [{ type: "RLIMIT_NOFILE", soft: 5, hard: 2 ** 64 }]);
  assert.is(cgroupsPath("e", id("a"), { cgroupParent: "" }), `/tsbox-e/${id("a")}`);
  assert.is(cgroupsPath("e", id("a"), { cgroupParent: "/my/slice/" }), `/my/slice/${id("a")}`);
});

test("devices by path, and rules by number", () => {
  const { nodes, rules } = mappedDevices([{ source: "/dev/null", target: "/dev/nothing", access: "r" }]);
  assert.equal(
    nodes.map(({ path, type, major, minor }) => ({ path, type, major, minor })),
    [{ path: "/dev/nothing", type: "c", major: 1, minor: 3 }],
  );
  assert.equal(rules, [{ allow: true, type: "c", major: 1, minor: 3, access: "r" }]);
  assert.throws(() => mappedDevices([{ source: "/dev/no-such-node", target: "/x", access: "r" }]), code("InvalidArgument"));
  assert.throws(() => mappedDevices([{ source: "/etc/passwd", target: "/x", access: "r" }]), code("InvalidArgument"));
  assert.equal(parseRule("c 10:* rw"), { allow: true, type: "c", major: 10, access: "rw" });
  assert.equal(parseRule("a *:* rwm"), { allow: true, type: "a", access: "rwm" });
});
