/** Parsing of Docker's create body: its zero values, its checks, its error messages. */
import { suite } from "@tsbox/harness";
import { type Container, isTsboxError, type Json } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { parseCreate } from "../src/operations/create-body.ts";
import { hostConfigOf } from "../src/operations/show-host-config.ts";

const test = suite("api: create body");
const of = (host: Json, body: Json = {}) => parseCreate({ Image: "x", ...body, HostConfig: host }, null);
function refused(host: Json, words: RegExp, body: Json = {}): void {
  try {
    of(host, body);
  } catch (error) {
    assert.ok(isTsboxError(error), String(error));
    assert.match((error as Error).message, words);
    return;
  }
  assert.unreachable(`taken: ${JSON.stringify(host)}`);
}

test("a user namespace for those who ask for none, with the host's as the way out", () => {
  const of = (host: Json) => parseCreate({ Image: "x", HostConfig: host }, null, "private").isolation.user;
  assert.equal([of({}), of({ UsernsMode: "" }), of({ UsernsMode: "host", Privileged: true })], ["private", "private", "host"]);
  assert.throws(() => of({ Privileged: true }), /privileged mode is incompatible with user namespaces/);
  assert.throws(() => of({ NetworkMode: "host" }), /cannot share the host's network namespace/);
});

test("zero values ask for nothing", () => {
  const zeros = of({
    Memory: 0,
    MemorySwap: 0,
    MemorySwappiness: null,
    NanoCpus: 0,
    CpuShares: 0,
    PidsLimit: null,
    OomKillDisable: null,
    Ulimits: null,
    Devices: null,
    DeviceCgroupRules: null,
    Sysctls: null,
    SecurityOpt: null,
    GroupAdd: null,
    IpcMode: "",
    PidMode: "",
    UTSMode: "",
    UsernsMode: "",
    CgroupnsMode: "",
    StorageOpt: null,
    BlkioWeightDevice: [],
    MaskedPaths: null,
    ReadonlyPaths: null,
  });
  assert.equal(zeros.isolation, { ipc: "private", pid: "private", uts: "private", cgroup: "private", user: "host", time: null });
  assert.equal(zeros.ulimits, []);
  assert.is(zeros.maskedPaths, null);
  assert.is(zeros.quotaBytes, null);
  assert.ok(
    Object.values(zeros.resources).every((value) => value === null || value === false || Object.keys(value as object).length === 0),
  );
});

test("what is asked for arrives", () => {
  const asked = of({
    IpcMode: "shareable",
    PidMode: "container:a",
    UTSMode: "host",
    UsernsMode: "private",
    CgroupnsMode: "host",
    TsboxTimeOffset: { Monotonic: -5, Boottime: 7 },
    Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
    Devices: [{ PathOnHost: "/dev/fuse", PathInContainer: "", CgroupPermissions: "" }],
    DeviceCgroupRules: ["c 10:* rwm"],
    SecurityOpt: ["seccomp:unconfined", "no-new-privileges", "label=type:x_t"],
    Sysctls: { "net.ipv4.ip_forward": "1" },
    GroupAdd: ["audio"],
    OomScoreAdj: -7,
    StorageOpt: { size: "2G" },
    MaskedPaths: [],
    CgroupParent: "/mine",
    BlkioDeviceReadBps: [{ Path: "/dev/sda", Rate: 9 }],
  });
  assert.equal(asked.isolation, {
    ipc: "shareable",
    pid: "container:a",
    uts: "host",
    cgroup: "host",
    user: "private",
    time: { monotonic: -5, boottime: 7 },
  });
  assert.equal(asked.devices, [{ source: "/dev/fuse", target: "/dev/fuse", access: "rwm" }]);
  assert.equal(asked.securityOptions, ["seccomp=unconfined", "no-new-privileges", "label=type:x_t"]);
  assert.equal([asked.oomScoreAdj, asked.quotaBytes, asked.cgroupParent], [-7, 2 * 1024 ** 3, "/mine"]);
  assert.equal(asked.resources.blockReadBytes, [{ path: "/dev/sda", value: 9 }]);
  assert.equal(asked.maskedPaths, []);
});

test("invalid combinations are refused with Docker's messages", () => {
  refused({ Memory: 1000 }, /Minimum memory limit allowed is 6MB/);
  refused({ MemorySwap: 1 << 30 }, /always set the Memory limit/);
  refused({ Memory: 64 << 20, MemoryReservation: 65 << 20 }, /memory reservation/);
  refused({ NanoCpus: 1e9, CpuQuota: 5000 }, /Conflicting options: Nano CPUs and CPU Quota/);
  refused({ CpuPeriod: 5 }, /CPU cfs period/);
  refused({ CpusetCpus: "0-" }, /Invalid value 0- for cpuset cpus/);
  refused({ MemorySwappiness: 101 }, /swappiness range is 0-100/);
  refused({ OomScoreAdj: 1001 }, /oom score adj is \[-1000, 1000\]/);
  refused({ Ulimits: [{ Name: "nofile", Soft: 3, Hard: 2 }] }, /soft limit must be less than/);
  refused({ Ulimits: [{ Name: "files", Soft: 1, Hard: 1 }] }, /invalid ulimit type: files/);
  refused({ IpcMode: "nonsense" }, /invalid IPC mode: nonsense/);
  refused({ PidMode: "container:" }, /invalid PID mode/);
  refused({ UTSMode: "host" }, /conflicting options: hostname and the UTS mode/, { Hostname: "x" });
  refused({ UsernsMode: "private", Privileged: true }, /privileged mode is incompatible with user namespaces/);
  refused({ UsernsMode: "private", NetworkMode: "host" }, /host's network namespace/);
  refused({ NetworkMode: "host", Sysctls: { "net.ipv4.ip_forward": "1" } }, /not allowed in host network namespace/);
  refused({ SecurityOpt: ["nonsense=1"] }, /invalid --security-opt: "nonsense=1"/);
  refused({ SecurityOpt: ["seccomp=/etc/passwd"] }, /Decoding seccomp profile failed/);
  refused({ DeviceCgroupRules: ["c 10 rwm"] }, /invalid device cgroup format/);
  refused({ Devices: [{ PathOnHost: "/dev/x", CgroupPermissions: "rwx" }] }, /invalid device mode: rwx/);
  refused({ StorageOpt: { size: "many" } }, /invalid storage option/);
  refused({ CgroupParent: "/a/../.." }, /must not lead out/);
  refused({ Annotations: { "io.tsbox.seccomp-filter": "/etc/shadow" } }, /must have a name, and not begin with io.tsbox/);
  refused({ DeviceRequests: [{ Count: -1, DeviceIDs: ["0"] }] }, /cannot set both Count and DeviceIDs/);
});

test("inspect has every field of HostConfig, whatever the client left out", () => {
  const record = (config: ReturnType<typeof of>): Container =>
    ({
      config: { ...config, log: { driver: "json-file", options: {} } },
      drivers: { storage: "overlay", exec: "native" },
    }) as unknown as Container;
  const bare = hostConfigOf(record(of({})));
  assert.equal(
    [bare.Binds, bare.Dns, bare.PidsLimit, bare.IpcMode, bare.NetworkMode, bare.ShmSize, bare.Runtime],
    [null, [], null, "private", "bridge", 64 << 20, "native"],
  );
  assert.equal(bare.RestartPolicy, { Name: "no", MaximumRetryCount: 0 });
  assert.equal(bare.LogConfig, { Type: "json-file", Config: {} });
  const asked = hostConfigOf(record(of({ Memory: 64 << 20, IpcMode: "host", Binds: ["/a:/b"], CapAdd: ["NET_ADMIN"] })));
  assert.equal(
    [asked.Memory, asked.MemorySwap, asked.IpcMode, asked.Binds, asked.CapAdd],
    [64 << 20, 128 << 20, "host", ["/a:/b"], ["NET_ADMIN"]],
  );
});
