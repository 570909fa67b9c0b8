/** Specs for rules: a container as Docker makes it, and changes to it. */
import type { OciLinux, OciProcess, OciSpec } from "@tsbox/kernel";

export const environment: readonly string[] = ["PATH=/bin", "HOME=/root", "GREETING=two words", "EMPTY="];
export const capabilities: readonly string[] = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"];

/** A spec that runs `words`. The world sets the cgroup's path. */
export function command(...words: readonly string[]): OciSpec {
  return {
    ociVersion: "1.2.0",
    hostname: "inside",
    root: { path: "rootfs", readonly: false },
    process: {
      args: words,
      env: environment,
      cwd: "/",
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
      },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "ro"] },
    ],
    linux: {
      namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup"].map((type) => ({ type })),
      maskedPaths: ["/proc/keys", "/sys/firmware", "/not/there"],
      readonlyPaths: ["/proc/sys", "/not/there"],
    },
  };
}

export const script = (text: string): OciSpec => command("sh", "-c", text);

export function withProcess(spec: OciSpec, change: Partial<OciProcess>): OciSpec {
  return { ...spec, process: { ...spec.process, ...change } };
}
export function withLinux(spec: OciSpec, change: Partial<OciLinux>): OciSpec {
  return { ...spec, linux: { ...spec.linux, ...change } };
}
