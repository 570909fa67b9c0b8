/**
 * Guest kernels for cases that the host's kernel can't show: the host's root is a lower layer, one directory is shared, and one boot runs a
 * list of scenes.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { needsRoot, suite, whyNoBtrfs } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, home, type Ran } from "./engine.ts";
import { needsTools } from "./images.ts";

/** QEMU in three variants: `systemd` has the host's systemd as its first process, `selinux` uses SELinux as its security module. */
export type Guest = "uml" | "qemu" | "systemd" | "selinux";
const words: Partial<Record<Guest, NodeJS.ProcessEnv>> = { systemd: { INIT: "systemd" }, selinux: { KERNEL_WORDS: "security=selinux" } };

/** A bash script in the guest, where `tsbox` is on the path, and its expected result. */
export interface Scene {
  readonly title: string;
  readonly script: string;
  readonly code: number;
  readonly stdout: string | RegExp;
  readonly stderr?: string | RegExp;
  /** The reason why it can't run on this host. */
  readonly reason?: string | null;
}

const program = (guest: Guest): string => join(home, "test", "vm", `${guest === "uml" ? "uml" : "qemu"}-run`);

/** The reason why there is no such guest here, or null. Fetches the guest's kernel if necessary. */
export function whyNoGuest(guest: Guest): string | null {
  if (needsRoot() !== null)
    return "needs root: a guest sees of the host's files what this user may read, and its containers are made of all of them";
  if (!existsSync(binary)) return "the native binary is not built: scripts/setup";
  const { status, stderr } = spawnSync(program(guest), ["--fetch"], { encoding: "utf8" });
  return status === 0 ? null : stderr.trim() || `${program(guest)} --fetch exited with ${status}`;
}

/** Debian packages as one tree, which the guest sees at the same path; or the reason why they are unavailable. */
export function debianTree(name: string, ...packages: readonly string[]): { readonly tree: string; readonly reason: string | null } {
  if (needsRoot() !== null) return { tree: "", reason: needsRoot() };
  const { status, stdout, stderr } = spawnSync(join(home, "test", "vm", "debian-tree"), [name, ...packages], { encoding: "utf8" });
  return { tree: stdout.trim(), reason: status === 0 ? null : stderr.trim() || `debian-tree exited with ${status}` };
}

/** A test file, run by Node in the guest. */
const inGuest = (file: string): string =>
  [process.execPath, "--conditions=tsbox-source", "--disable-warning=ExperimentalWarning", join(home, file)].map(quoted).join(" ");

/** The exec suite. One of its rules opens /dev/fuse. */
export const execSuiteHolds: Scene = {
  title: "the exec suite holds here as it does on the host",
  script: `modprobe fuse; ${inGuest("drivers/exec-native/test/conformance.test.ts")}`,
  code: 0,
  stdout: /^([3-9]\d|\d{3}) passed, 0 failed, 0 skipped$/m,
};

/** crun works with cgroup v2 alone. */
export const crunHolds: Scene = {
  title: "the exec suite holds with crun",
  script: `modprobe fuse; ${inGuest("drivers/exec-oci/test/crun.test.ts")}`,
  code: 0,
  stdout: /^([3-9]\d|\d{3}) passed, 0 failed, 0 skipped$/m,
  reason: needsTools("crun"),
};

/** Without simple quotas, and a kernel that leaves quota groups behind. */
export const btrfsHolds: Scene = {
  title: "storage-btrfs holds with full quotas, and nothing is left of what was removed",
  script: `modprobe -a loop btrfs; ${["plugins/host-linux/test/btrfs.test.ts", "drivers/storage-btrfs/test/driver.test.ts"].map(inGuest).join(" && ")}`,
  code: 0,
  stdout: /^\d+ passed, 0 failed, 0 skipped\n[\s\S]*^\d+ passed, 0 failed, 0 skipped$/m,
  reason: whyNoBtrfs(),
};

/** A kernel with a device mapper, which few hosts of tests have. */
export const deviceMapperHolds: readonly Scene[] = [
  "drivers/storage-devicemapper/test/driver.test.ts",
  "drivers/storage-devicemapper/test/conformance.test.ts",
].map((file) => ({
  title: `${file} holds on a kernel with a device mapper`,
  script: `modprobe -a loop dm_thin_pool; ${inGuest(file)}`,
  code: 0,
  stdout: /^(\d\d+) passed, 0 failed, \d+ skipped$/m,
  reason: spawnSync("mkfs.xfs", ["-V"]).error === undefined ? null : "mkfs.xfs is missing: scripts/packages --full",
}));

const make = {
  ext4: "modprobe quota_v2; mkfs.ext4 -q -O quota,project -E quotatype=prjquota",
  xfs: "modprobe xfs; mkfs.xfs -q",
} as const;

/** Size limits of containers' files, on a file system with project quotas. */
export function sizesHold(fileSystem: keyof typeof make): readonly Scene[] {
  const begin = [
    `modprobe loop; mkdir -p /tmp/quota; truncate -s 400M /tmp/quota.img; ${make[fileSystem]} /tmp/quota.img; mount -o loop,prjquota /tmp/quota.img /tmp/quota`,
    "export TSBOX_ROOT=/tmp/quota/root TSBOX_STATE=/run/tsbox-quota",
  ];
  const end = "tsbox daemon stop; umount /tmp/quota; rm /tmp/quota.img";
  const fill = [
    'dd if=/dev/zero of=/full bs=1M count=20 2>&1 | grep -cE "Disk quota exceeded|No space left"',
    "[ $(stat -c %s /full) -lt 9000000 ] && echo limited",
    "df -m / | tail -1 | (read name size rest; echo $size)",
  ].join("; ");
  const { error } = spawnSync(`mkfs.${fileSystem}`, ["-V"]);
  const reason = error === undefined ? null : `mkfs.${fileSystem} is missing: scripts/packages --full`;
  return [
    {
      title: `--storage-opt size: on ${fileSystem} with project quotas a container's files are limited, its neighbours' and its image's are not`,
      reason,
      script: [
        ...begin,
        `full() { tsbox run --rm --net none $1 $2 sh -c '${fill}'; }`,
        "full '--storage-opt size=8m' host:/; full '--storage-opt size=8m' host:/; full '' host:/ | head -1",
        "tsbox create --name box --storage-opt size=8m host:/ true >/dev/null; echo x > x; tsbox cp -q x box:/x; tsbox commit box own:1 >/dev/null; full '' own:1 | head -1",
        end,
      ].join("\n"),
      code: 0,
      stdout: "1\nlimited\n8\n1\nlimited\n8\n0\n0\n",
    },
    {
      title: `and the storage suite holds on ${fileSystem}, quotas included`,
      reason,
      script: [
        ...begin,
        "tsbox conformance storage overlay --directory /tmp/quota >tap; echo $?; grep '^ok .*storage/quota: ' tap | grep -vc SKIP; grep -A 9 '^not ok' tap >&2",
        end,
      ].join("\n"),
      code: 0,
      stdout: "0\n1\n",
    },
  ];
}

/** Seconds for a boot and its scenes: an emulated guest takes five to eight minutes on a quiet machine, much more on a busy one. */
const bootLimit = 2_400;

/**
 * Makes a suite with a case for each scene. The scenes run in one boot, one after another, and each case examines the result of its scene.
 * `config` is the engine's, `more` the guest's environment (`MEMORY`).
 */
export function scenes(name: string, guest: Guest, list: readonly Scene[], config: unknown = {}, more: NodeJS.ProcessEnv = {}): void {
  const test = suite(name, { timeout: (bootLimit + 120) * 1_000 });
  const reason = whyNoGuest(guest);
  let booting: Promise<Booted> | undefined;
  const booted = (): Promise<Booted> => (booting ??= boot(guest, list, config, more));
  test.skipIf(reason, "the guest boots, and runs to its end", async () => {
    const { ran } = await booted();
    assert.is(ran.code, 0, ran.stdout + ran.stderr);
  });
  for (const [at, scene] of list.entries()) {
    test.skipIf(reason ?? scene.reason ?? null, scene.title, async () => {
      const { share, ran } = await booted();
      const read = (name: string): string => {
        const path = join(share, String(at), name);
        return existsSync(path) ? readFileSync(path, "utf8") : `nothing was written; the guest said: ${ran.stdout}${ran.stderr}`;
      };
      const said = `stdout: ${read("stdout")}\nstderr: ${read("stderr")}`;
      assert.is(read("code").trim(), String(scene.code), said);
      if (typeof scene.stdout === "string") assert.is(read("stdout"), scene.stdout, said);
      else assert.match(read("stdout"), scene.stdout, said);
      if (typeof scene.stderr === "string") assert.is(read("stderr"), scene.stderr, said);
      else if (scene.stderr !== undefined) assert.match(read("stderr"), scene.stderr, said);
    });
  }
}

interface Booted {
  /** /vmshare in the guest: a directory for each scene, by its number. */
  readonly share: string;
  readonly ran: Ran;
}

/** The engine's root is on tmpfs: the guest's / is an overlay, which can't be the upper directory of another one. */
async function boot(guest: Guest, list: readonly Scene[], config: unknown, more: NodeJS.ProcessEnv): Promise<Booted> {
  const share = mkdtempSync(join(tmpdir(), "tsbox-test-"));
  process.on("exit", () => rmSync(share, { recursive: true, force: true }));
  writeFileSync(join(share, "config.json"), JSON.stringify(config));
  const lines = [
    `export TSBOX_ROOT=/tmp/root TSBOX_STATE=/run/tsbox TSBOX_CONFIG=/vmshare/config.json PATH=${quoted(dirname(binary))}:$PATH`,
    "tsbox version >/dev/null || exit 1",
  ];
  for (const [at, { script }] of list.entries()) {
    mkdirSync(join(share, String(at)));
    writeFileSync(join(share, String(at), "script"), script);
    lines.push(`cd /vmshare/${at}; bash script >stdout 2>stderr; echo $? >code`);
  }
  writeFileSync(join(share, "script"), [...lines, "true"].join("\n"));
  return { share, ran: await run(guest, share, "source /vmshare/script", more) };
}

function run(guest: Guest, share: string, script: string, more: NodeJS.ProcessEnv): Promise<Ran> {
  const environment = { ...process.env, LIMIT: String(bootLimit), ...words[guest], ...more };
  const child = spawn(program(guest), [share, script], { stdio: ["ignore", "pipe", "pipe"], env: environment });
  const output = ["", ""];
  for (const [at, stream] of [child.stdout, child.stderr].entries()) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output[at] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 255, stdout: output[0] ?? "", stderr: output[1] ?? "" }));
  });
}

/** Quotes a word for a shell, whatever its characters. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
