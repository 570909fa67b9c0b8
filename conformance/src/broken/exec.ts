/** Exec drivers with one bug each, and the rule that must catch it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Bundle,
  type Call,
  type ContainerId,
  type ExecDriver,
  type ExecPowers,
  fail,
  type Launch,
  type OciLinux,
  type OciProcess,
  type OciSpec,
  type TakesOptions,
} from "@tsbox/kernel";
import { ReferenceExec } from "../reference/exec.ts";
import { streamOf } from "../reference/storage.ts";

export interface BrokenExec {
  readonly bug: string;
  /** The rule that must catch it; other rules may fail, too. */
  readonly rule: string;
  readonly open: () => ExecDriver;
}

const broken = (bug: string, rule: string, driver: new () => ReferenceExec): BrokenExec => ({ bug, rule, open: () => new driver() });

/** The driver plans a changed spec. */
const changes = (bug: string, rule: string, change: (spec: OciSpec) => OciSpec): BrokenExec =>
  broken(
    bug,
    rule,
    class extends ReferenceExec {
      override async plan(call: Call, bundle: Bundle): Promise<Launch> {
        await super.plan(call, bundle);
        return { kind: "oci", spec: change(bundle.spec) };
      }
    },
  );
const process = (bug: string, rule: string, change: Partial<OciProcess>): BrokenExec =>
  changes(bug, rule, (spec) => ({ ...spec, process: { ...spec.process, ...change } }));
const linux = (bug: string, rule: string, change: (linux: OciLinux) => OciLinux): BrokenExec =>
  changes(bug, rule, (spec) => ({ ...spec, linux: change(spec.linux ?? {}) }));

const tooMany = ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"];

/** The driver runs a shell before the command, which changes what the command inherits. */
const wraps = (bug: string, rule: string, words: string): BrokenExec =>
  changes(bug, rule, (spec) => ({
    ...spec,
    process: { ...spec.process, args: ["sh", "-c", words, "sh", ...spec.process.args] },
  }));

export const brokenExec: readonly BrokenExec[] = [
  broken(
    "options of the format are taken unseen",
    "exec/options-checked",
    class extends ReferenceExec implements TakesOptions {
      override readonly powers: readonly (keyof ExecPowers)[] = ["processes", "terminal", "options"];
      async checkOptions(): Promise<void> {}
    },
  ),
  wraps("the process is started without a descriptor 0", "exec/closed-input", 'exec 0<&-; exec "$@"'),
  wraps("SIGPIPE is ignored", "exec/no-reader", "trap '' PIPE; exec \"$@\""),
  wraps("output ends after a while", "exec/a-gigabyte", '"$@" | head -c 100000000'),
  wraps("input is read to its end before the process gets any", "exec/input-as-it-comes", 'head -c 8 | "$@"'),
  wraps("a signal is ignored", "exec/signals-arrive", "trap '' USR2; exec \"$@\""),
  wraps("keys of a terminal are no signals", "exec/terminal-controls", "trap '' INT; exec \"$@\""),
  process("the environment is lost", "exec/environment", { env: ["PATH=/bin"] }),
  process("the working directory is always the root", "exec/working-directory", { cwd: "/" }),
  process("everybody is root", "exec/user", { user: { uid: 0, gid: 0 } }),
  process("a capability more than was asked for", "exec/capabilities", {
    capabilities: { bounding: tooMany, effective: tooMany, permitted: tooMany },
  }),
  process("no-new-privileges is dropped", "exec/no-new-privileges", { noNewPrivileges: false }),
  process("limits of a process are dropped", "exec/rlimits", { rlimits: [] }),
  process("the out-of-memory score is dropped", "exec/oom-score", { oomScoreAdj: 0 }),
  changes("the umask is always the usual one", "exec/umask", (spec) => ({
    ...spec,
    process: { ...spec.process, user: { uid: 0, gid: 0 } },
  })),
  linux("device rules are dropped", "exec/device-rules", ({ resources, ...rest }) => rest),
  linux("devices are dropped", "exec/device-node", ({ devices, ...rest }) => rest),
  linux("sysctls are dropped", "exec/sysctl", ({ sysctl, ...rest }) => rest),
  linux("the first masked path alone is masked", "exec/masks-one-by-one", ({ maskedPaths, ...rest }) => ({
    ...rest,
    maskedPaths: ["/proc/asound"],
  })),
  linux("limits on processors are dropped", "exec/cpu-limit", ({ resources, ...rest }) => rest),
  linux("the user namespace is the host's", "exec/user-namespace", ({ namespaces = [], uidMappings, gidMappings, ...rest }) => ({
    ...rest,
    namespaces: namespaces.filter(({ type }) => type !== "user"),
  })),
  linux("the cgroup namespace is the host's", "exec/own-cgroup-view", ({ namespaces = [], ...rest }) => ({
    ...rest,
    namespaces: namespaces.filter(({ type }) => type !== "cgroup"),
  })),
  changes("binds are always writable", "exec/bind-mount", (spec) => ({
    ...spec,
    mounts: (spec.mounts ?? []).map((mount) => ({ ...mount, options: (mount.options ?? []).filter((option) => option !== "ro") })),
  })),
  changes("options of file systems are dropped", "exec/mount-options", (spec) => ({
    ...spec,
    mounts: (spec.mounts ?? []).map((mount) => (mount.destination === "/small" ? { ...mount, options: [] } : mount)),
  })),
  process("never a terminal", "exec/terminal", { terminal: false }),
  linux("the network is a new one, whatever the path", "exec/namespace-by-path", ({ namespaces = [], ...rest }) => ({
    ...rest,
    namespaces: namespaces.map(({ type }) => ({ type })),
  })),
  linux("processes share the host's pid namespace", "exec/first-process", ({ namespaces = [], ...rest }) => ({
    ...rest,
    namespaces: namespaces.filter(({ type }) => type !== "pid"),
  })),
  linux("paths are not masked", "exec/masked-paths", (spec) => ({ ...spec, maskedPaths: [] })),
  linux("read-only paths are writable", "exec/read-only-paths", (spec) => ({ ...spec, readonlyPaths: [] })),
  linux("the seccomp profile is dropped", "exec/seccomp", ({ seccomp, ...rest }) => rest),
  linux("limits on memory are dropped", "exec/memory-limit", ({ resources, ...rest }) => rest),
  linux("limits on processes are dropped", "exec/pids-limit", ({ resources, ...rest }) => rest),
  changes("the root is always writable", "exec/read-only-root", (spec) => ({ ...spec, root: { path: "rootfs", readonly: false } })),
  changes("the hostname is lost", "exec/hostname", ({ hostname, ...rest }) => rest),
  broken(
    "a field that it does not know is dropped in silence",
    "exec/unsupported-field",
    class extends ReferenceExec {
      protected override check(): void {}
    },
  ),
  broken(
    "a container can be planned once",
    "exec/plan-again",
    class extends ReferenceExec {
      readonly #planned = new Set<ContainerId>();
      override async plan(call: Call, bundle: Bundle): Promise<Launch> {
        if (this.#planned.has(bundle.id)) throw fail("AlreadyExists", `${bundle.id} was planned before`);
        this.#planned.add(bundle.id);
        return super.plan(call, bundle);
      }
    },
  ),
  broken(
    "plan edits the spec that it was given",
    "exec/plan-keeps-bundle",
    class extends ReferenceExec {
      override async plan(call: Call, bundle: Bundle): Promise<Launch> {
        Object.assign(bundle.spec, { annotations: { planned: "yes" } });
        return super.plan(call, bundle);
      }
    },
  ),
  broken(
    "plan writes beside the container's directory",
    "exec/plan-writes-own",
    class extends ReferenceExec {
      override async plan(call: Call, bundle: Bundle): Promise<Launch> {
        writeFileSync(join(bundle.directory, "..", "config.json"), JSON.stringify(bundle.spec));
        return super.plan(call, bundle);
      }
    },
  ),
  broken(
    "list never forgets",
    "exec/delete-forgets",
    class extends ReferenceExec {
      readonly #seen = new Set<ContainerId>();
      override async plan(call: Call, bundle: Bundle): Promise<Launch> {
        this.#seen.add(bundle.id);
        return super.plan(call, bundle);
      }
      override async list(): Promise<AsyncIterable<ContainerId>> {
        return streamOf([...this.#seen]);
      }
    },
  ),
  broken(
    "a power is claimed that is not there",
    "exec/powers-have-verbs",
    class extends ReferenceExec {
      override readonly powers: readonly (keyof ExecPowers)[] = ["processes", "terminal", "pause"];
    },
  ),
];
