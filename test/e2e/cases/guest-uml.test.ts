/**
 * Linux 6.1, the oldest kernel that tsbox is for, with cgroup v2 alone: an engine in a User-Mode-Linux guest. One boot; each case looks at what one command did there.
 * Its root lies on tmpfs: the guest's / is an overlay on the host's files, which can't be another one's upper directory.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, home } from "../src/engine.ts";
import { inGuest, quoted, whyNoGuest } from "../src/guest.ts";

const test = suite("Linux 6.1, cgroup v2 (User-Mode-Linux)", { timeout: 300_000 });
const reason = existsSync(binary) ? whyNoGuest("uml") : "the native binary is not built: scripts/setup";
const none = ["run", "--rm", "--net", "none"] as const;
const node = process.execPath;

interface Scene {
  readonly title: string;
  readonly words: readonly string[];
  readonly code: number;
  readonly stdout: string | RegExp;
  readonly stderr?: string;
}
const scenes: readonly Scene[] = [
  { title: "it runs", words: [...none, "host:/", "echo", "hello"], code: 0, stdout: "hello\n" },
  {
    title: "the exit code and both streams are the command's own",
    words: [...none, "host:/", "sh", "-c", "echo out; echo err >&2; exit 7"],
    code: 7,
    stdout: "out\n",
    stderr: "err\n",
  },
  {
    title: "limits are in the container's own cgroup",
    words: [
      ...none,
      "-m",
      "32m",
      "--memory-swap",
      "48m",
      "--pids-limit",
      "9",
      "--cpus",
      "0.5",
      "host:/",
      "sh",
      "-c",
      "cd /sys/fs/cgroup; cat memory.max memory.swap.max pids.max cpu.max; cat /proc/self/cgroup",
    ],
    code: 0,
    stdout: `${32 << 20}\n${16 << 20}\n9\n50000 100000\n0::/\n`,
  },
  {
    title: "more memory than the limit is killed: 137",
    words: [...none, "-m", "16m", "host:/", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M"],
    code: 137,
    stdout: "",
  },
  {
    title: "more processes than the limit are refused",
    words: [...none, "--pids-limit", "6", "host:/", "sh", "-c", "for each in 1 2 3 4 5 6 7 8; do sleep 60 & done 2>/dev/null; echo all"],
    code: 2,
    stdout: "",
  },
  {
    title: "the kernel is the guest's, and the filter is in force",
    words: [...none, "host:/", "sh", "-c", "uname -r; grep Seccomp: /proc/self/status"],
    code: 0,
    stdout: /^6\.1\.\d+\nSeccomp:\t2\n$/,
  },
  { title: "a command that is not there: 127", words: [...none, "host:/", "no-such-command"], code: 127, stdout: "" },
  {
    title: "bridge networks are refused with what the kernel lacks",
    words: ["info", "--why"],
    code: 0,
    stdout: /^not network\/bridge: .*needs a kernel with bridge, veth, and nftables/m,
  },
  { title: "the engine stops", words: ["daemon", "stop"], code: 0, stdout: /^/ },
];

interface Booted {
  readonly share: string;
  readonly code: number;
  readonly output: string;
}
let booting: Promise<Booted> | undefined;

/** Once, for all cases of this file. */
function booted(): Promise<Booted> {
  booting ??= boot();
  return booting;
}

async function boot(): Promise<Booted> {
  const share = mkdtempSync(join(tmpdir(), "tsbox-test-"));
  process.on("exit", () => rmSync(share, { recursive: true, force: true }));
  const lines = ["export TSBOX_ROOT=/tmp/root TSBOX_STATE=/run/tsbox", `${quoted(binary)} version >/dev/null || exit 1`];
  for (const [at, { words }] of scenes.entries()) {
    mkdirSync(join(share, String(at)));
    lines.push(`cd /vmshare/${at}; ${[binary, ...words].map(quoted).join(" ")} >stdout 2>stderr; echo $? >code`);
  }
  const suiteFile = join(home, "drivers", "exec-native", "test", "conformance.test.ts");
  lines.push(
    "cd /vmshare; find /sys/fs/cgroup -name 'tsbox*' >cgroups",
    `cd ${quoted(home)}; ${[node, "--conditions=tsbox-source", "--disable-warning=ExperimentalWarning", suiteFile].map(quoted).join(" ")} >/vmshare/suite 2>&1`,
    "true",
  );
  writeFileSync(join(share, "script"), lines.join("\n"));
  const ran = await inGuest("uml", share, "source /vmshare/script", 240);
  return { share, code: ran.code, output: ran.stdout + ran.stderr };
}

test.skipIf(reason, "the guest boots, and an engine starts in it", async () => {
  const { code, output } = await booted();
  assert.is(code, 0, output);
});

for (const [at, scene] of scenes.entries()) {
  test.skipIf(reason, scene.title, async () => {
    const { share, output } = await booted();
    const read = (name: string): string => {
      const path = join(share, String(at), name);
      return existsSync(path) ? readFileSync(path, "utf8") : `nothing was written; the guest said: ${output}`;
    };
    assert.is(read("code").trim(), String(scene.code), read("stderr"));
    if (typeof scene.stdout === "string") assert.is(read("stdout"), scene.stdout, read("stderr"));
    else assert.match(read("stdout"), scene.stdout);
    if (scene.stderr !== undefined) assert.is(read("stderr"), scene.stderr);
  });
}

test.skipIf(reason, "no cgroup is left when the engine has stopped", async () => {
  assert.is(readFileSync(join((await booted()).share, "cgroups"), "utf8"), "");
});

test.skipIf(reason, "the exec suite holds here as it does on the host", async () => {
  const text = readFileSync(join((await booted()).share, "suite"), "utf8");
  assert.match(text, /^[3-9]\d passed, 0 failed, 0 skipped$/m, text);
});
