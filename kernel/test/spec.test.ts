import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { fileTail, isTsboxError, judgeFields, linuxFields, mountsBefore, type OciSpec, ownersOf } from "../src/index.ts";

const test = suite("specs, for drivers");

/** The fields of `change` that the engine's own runtime does not carry out. */
function unknown(change: object): readonly string[] {
  const found: string[] = [];
  judgeFields({ ociVersion: "1.0.0", process: { args: ["true"], cwd: "/" }, ...change } as OciSpec, linuxFields, (name, leaf) => {
    if (leaf === undefined) found.push(name);
  });
  return found;
}

test("each field of a spec that is not in the table is named, in lists by its place", () => {
  assert.equal(unknown({ linux: { resources: { memory: { limit: 1 } }, sysctl: { any: "1" } }, hooks: null, vm: undefined }), []);
  assert.equal(unknown({ linux: { intelRdt: {}, resources: { cpu: { cores: 2 } } }, vm: {} }), [
    "linux.intelRdt",
    "linux.resources.cpu.cores",
    "vm",
  ]);
  assert.equal(unknown({ mounts: [{ destination: "/a" }, { destination: "/b", label: "x" }] }), ["mounts[1].label"]);
  assert.equal(unknown(JSON.parse('{"constructor": {}, "__proto__": {}}')), ["constructor", "__proto__"]);
});

test("the end of a file is read, and never more", (t) => {
  const path = join(temporaryDirectory(t), "log");
  writeFileSync(path, "first\nsecond\n");
  assert.is(fileTail(path, 7), "second\n");
  assert.is(fileTail(path, 1000), "first\nsecond\n");
  writeFileSync(path, "");
  assert.is(fileTail(path, 7), "");
  assert.throws(() => fileTail(`${path}.none`, 7), /ENOENT/);
});

test("the owners of what is made for a container are its root and its process's user, by their ids on the host", () => {
  const namespaces = [{ type: "user", path: "/proc/7/ns/user" }];
  const maps = (hostID: number) => [{ containerID: 0, hostID, size: 1000 }];
  const spec = (uid: number, linux: object): OciSpec =>
    ({ ociVersion: "1.0.0", process: { args: ["true"], cwd: "/", user: { uid } }, linux }) as unknown as OciSpec;
  const mapped = { namespaces, uidMappings: maps(100_000), gidMappings: maps(200_000) };
  assert.equal(ownersOf(spec(7, mapped)), { root: { uid: 100_000, gid: 200_000 }, process: 100_007 });
  assert.is(ownersOf(spec(7, { ...mapped, namespaces: [{ type: "user" }] })), null);
  assert.is(ownersOf(spec(7, {})), null);
  assert.throws(
    () => ownersOf(spec(1000, mapped)),
    (error: unknown) => isTsboxError(error) && /id 1000 is not mapped/.test(error.message),
  );
});

test("the shim mounts neither in the kernel's file systems nor what is to be a peer of the host's", () => {
  const mount = (destination: string, ...options: string[]) => ({ destination, type: "bind", source: "/etc", options });
  const all = ["/v", "/dev/shm", "/proc", "/devices", "/sys/fs/cgroup"].map((path) => mount(path, "rbind"));
  const spec = {
    ociVersion: "1.0.0",
    process: { args: ["true"], cwd: "/" },
    mounts: [...all, mount("/peer", "rbind", "rshared")],
  } as OciSpec;
  assert.equal(
    mountsBefore(spec).map(({ destination }) => destination),
    ["/v", "/devices"],
  );
});
