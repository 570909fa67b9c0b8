/** Volumes, mounts, restarts and health, compared with Debian's dockerd: the same command lines, results and messages. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { docker } from "../src/docker.ts";
import { needsDockerd } from "../src/dockerd.ts";
import { binary, engine } from "../src/engine.ts";
import { type Answer, dockerFront, type Front, ourFronts } from "../src/fronts.ts";

const test = suite("volumes, restarts and health beside docker", { timeout: 300_000 });
const reason =
  needsRoot() ??
  (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ??
  docker.reason ??
  needsBusybox() ??
  needsDockerd();

/** Each with the same image: busybox with a volume at /vol, which has an owner, a mode and content. */
async function fronts(t: Case): Promise<readonly Front[]> {
  const tar = busyboxTar(t);
  const own = await engine(t);
  const all = [await dockerFront(t), ...ourFronts(own)];
  const build = "mkdir -p /vol/deep /plain; echo content > /vol/file; chmod 640 /vol/file; chown -R 1000:50 /vol; chmod 710 /vol";
  for (const front of all.slice(0, 2)) {
    front.ok(["import", "-", "bare:1"], tar);
    front.ok(["run", "--name", "maker", "--net", "none", "bare:1", "sh", "-c", build]);
    front.ok(["commit", "--change", "VOLUME /vol", "--change", 'CMD ["sh"]', "maker", "box:1"]);
    front.ok(["rm", "-v", "maker"]);
  }
  return all;
}

/** Replaces values that differ in each run: ids, directories of the engine, the name of the program. */
const plain = (text: string): string =>
  text
    .replace(/[0-9a-f]{64}/g, "ID")
    .replace(/\/var\/lib\/tsbox-test-[^\s"]*?\/(data\/volumes|root\/volume-local)/g, "VOLUMES")
    .replace(/^(docker: )?Error response from daemon: |^docker: |^tsbox: |^Error: /gm, "")
    .replace(/\n\nUsage: [\s\S]*$/, "\n")
    .replace(/\n\nRun '[^']*' for more information\n?/g, "\n")
    .replace(/See '[^']*'\.\n?/g, "")
    .replace(/\.\n/g, "\n")
    .trim();

interface Step {
  readonly argv: readonly string[];
  /** The part of the error message that is compared; undefined: all of it. */
  readonly words?: RegExp;
  /** A restarting container: an answer counts only if the container was between the same two runs before and after the command. */
  readonly betweenRunsOf?: string;
}
const step = (...argv: readonly string[]): Step => ({ argv });

/** Reports all differences at once. In a name, @ stands for a different text for each front, since two fronts share an engine. */
function same(all: readonly Front[], steps: readonly Step[]): void {
  const differences: string[] = [];
  for (const { argv, words, betweenRunsOf } of steps) {
    const answers = all.map((front, at) => {
      const run = (): Answer => front.run(argv.map((word) => word.replace(/@(?=[a-z])/g, `own${at}-`)));
      const { code, stdout, stderr } = betweenRunsOf === undefined ? run() : betweenRuns(front, betweenRunsOf, run);
      const shown = (text: string): string => plain(text).replaceAll(`own${at}-`, "@");
      const said = shown(stderr);
      return JSON.stringify([code, shown(stdout.toString()), words === undefined ? said : (words.exec(said)?.[0] ?? said)]);
    });
    if (new Set(answers).size > 1)
      differences.push(`${argv.join(" ")}\n${answers.map((answer, at) => `    ${all[at]?.name}: ${answer}`).join("\n")}`);
  }
  assert.is(differences.length, 0, `\n${differences.join("\n")}`);
}

/** Runs a command until the container did not run meanwhile. Each wait between two runs is twice as long as the one before. */
function betweenRuns(front: Front, name: string, run: () => Answer): Answer {
  const state = (): string => front.ok(["inspect", "-f", "{{.State.Restarting}} {{.RestartCount}}", name]).trim();
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    const before = state();
    const outcome = run();
    if (before.startsWith("true") && state() === before) return outcome;
  }
  throw new Error(`${front.name}: ${name} is not restarting: ${state()}`);
}

const none = ["run", "--rm", "--net", "none"] as const;
const sh = (script: string): readonly string[] => ["sh", "-c", script];

test.skipIf(reason, "volumes: create, list, inspect, fill, share, remove", async (t) => {
  const all = await fronts(t);
  const [first, second] = all;
  // Two engines with three fronts: our second front sees the changes of the first one.
  const each = (...argv: readonly string[]): void => {
    assert.is(plain(second?.ok(argv) ?? ""), plain(first?.ok(argv) ?? ""));
  };
  const look = "stat -c '%u:%g %a' /vol /vol/file; cat /vol/file; ls /vol";
  each("volume", "create", "--label", "a=b", "one");
  each("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=5", "memory");
  same(all, [
    step("volume", "ls"),
    step("volume", "ls", "-q", "-f", "label=a=b"),
    step("volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Scope}} {{json .Labels}} {{json .Options}} {{.Mountpoint}}", "one", "memory"),
    step("volume", "create", "one"),
    step("volume", "create", "-d", "nosuch", "x1"),
    step("volume", "create", "bad/name"),
    step("volume", "create", "-o", "nonsense=1", "x2"),
    step("volume", "inspect", "nope"),
    step("volume", "rm", "nope"),
    step(...none, "box:1", ...sh(look)),
    step(...none, "-v", "filled:/vol", "box:1", ...sh(look)),
    step(...none, "-v", "bare:/vol:nocopy", "box:1", ...sh("stat -c '%u:%g %a' /vol; ls -A /vol")),
    step(
      ...none,
      "-v",
      "memory:/m",
      "box:1",
      ...sh("grep ' /m ' /proc/mounts | cut -d' ' -f3; stat -c %u /m; df -k /m | tail -1 | awk '{print $2}'"),
    ),
    step(...none, "-v", "filled:/vol:ro", "box:1", ...sh("touch /vol/x")),
    step("volume", "ls", "-q"),
  ]);
  each("create", "--name", "holder", "-v", "filled:/here", "-v", "/anonymous", "--net", "none", "box:1");
  same(all, [
    step(
      "inspect",
      "-f",
      '{{range .Mounts}}{{if ne .Destination "/vol"}}{{if ne .Destination "/anonymous"}}{{json .}}{{end}}{{end}}{{end}}',
      "holder",
    ),
    step("volume", "rm", "filled"),
    step("ps", "-a", "-f", "volume=filled", "--format", "{{.Names}} {{.LocalVolumes}}"),
    step("volume", "ls", "-q", "-f", "dangling=true"),
  ]);
  each("rm", "-v", "holder");
  same(all, [step("volume", "ls", "-q")]);
});

test.skipIf(reason, "mounts: what is inside, and what is refused", async (t) => {
  const all = await fronts(t);
  const directory = temporaryDirectory(t, "/var/tmp");
  mkdirSync(join(directory, "sub"));
  writeFileSync(join(directory, "file"), "of the host\n");
  const mounted = (target: string): readonly string[] =>
    sh(
      `grep ' ${target} ' /proc/self/mountinfo | sed 's/.* - //' | cut -d' ' -f1; grep ' ${target} ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1`,
    );
  same(all, [
    step(...none, "-v", `${directory}:/d`, "box:1", "cat", "/d/file"),
    step(...none, "-v", `${directory}/file:/f:ro`, "box:1", ...sh("cat /f; echo x > /f")),
    step(...none, "--mount", `type=bind,src=${directory},dst=/d,readonly`, "box:1", ...sh("touch /d/x")),
    step(...none, "--tmpfs", "/t", "box:1", ...sh("grep ' /t ' /proc/mounts; stat -c %a /t")),
    step(...none, "--tmpfs", "/t:size=1m,mode=700,exec", "box:1", ...sh("grep ' /t ' /proc/mounts; stat -c %a /t")),
    step(
      ...none,
      "--tmpfs",
      "/t:ro",
      "-v",
      "/below/x",
      "-v",
      "/t/x",
      "box:1",
      ...sh("touch /t/no 2>/dev/null || touch /t/x/yes && ls /t /t/x"),
    ),
    step(...none, "--mount", "type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=1750", "box:1", ...sh("grep ' /t ' /proc/mounts; stat -c %a /t")),
    step(...none, "-v", "part:/vol/deep", "box:1", ...mounted("/vol/deep")),
    step(...none, "--mount", `type=bind,src=${directory}/absent,dst=/d`, "box:1", "true"),
    step(...none, "-v", `${directory}:/d:bogus`, "box:1", "true"),
    step(...none, "-v", `${directory}:relative`, "box:1", "true"),
    step(...none, "-v", `${directory}:/`, "box:1", "true"),
    { argv: [...none, "-v", "a1:/d", "-v", "a2:/d", "box:1", "true"], words: /Duplicate mount point: \/d/ },
    { argv: [...none, "--tmpfs", "/t:bogus", "box:1", "true"], words: /[Ii]nvalid tmpfs option/ },
    { argv: [...none, "-v", `${directory}:/d:rshared`, "box:1", "true"], words: /is not a shared mount/ },
    step(...none, "--volumes-from", "nobody", "box:1", "true"),
    step(...none, "--mount", "type=volume,dst=/d,readonly", "box:1", "true"),
    step(...none, "--mount", "type=tmpfs,src=/x,dst=/d", "box:1", "true"),
    step(...none, "--mount", "type=volume,dst=/d,nonsense=1", "box:1", "true"),
    step(...none, "--mount", "type=bind,src=/x", "box:1", "true"),
    step(...none, "--mount", "type=tmpfs,dst=/d,volume-nocopy", "box:1", "true"),
  ]);
});

test.skipIf(reason, "restarts: counts, codes and what the list says; what can't be", async (t) => {
  const all = await fronts(t);
  for (const front of all.slice(0, 2)) {
    front.ok(["run", "-d", "--name", "twice", "--net", "none", "--restart", "on-failure:2", "box:1", ...sh("exit 3")]);
    front.ok(["run", "-d", "--name", "fine", "--net", "none", "--restart", "on-failure", "box:1", "true"]);
    front.ok(["run", "-d", "--name", "loops", "--net", "none", "--restart", "always", "box:1", "false"]);
  }
  const state =
    "{{.State.Status}} {{.State.Running}} {{.State.Restarting}} {{.State.ExitCode}} {{.RestartCount}} {{json .HostConfig.RestartPolicy}}";
  const settles = async (name: string, wanted: RegExp): Promise<void> => {
    for (const front of all)
      for (let attempts = 500; !wanted.test(front.ok(["inspect", "-f", state, name])); attempts -= 1) {
        if (attempts === 0) throw new Error(`${front.name}: ${name} is ${front.ok(["inspect", "-f", state, name])}`);
        await pause(20);
      }
  };
  await settles("twice", /^exited .* 2 \{/);
  await settles("fine", /^exited/);
  await settles("loops", /^restarting .* [3-9] \{/);
  same(all, [
    step("inspect", "-f", state, "twice", "fine"),
    step("ps", "-a", "-f", "status=exited", "--format", "{{.Names}} {{.State}}"),
    { argv: ["rm", "loops"], words: /restarting/, betweenRunsOf: "loops" },
    { argv: ["exec", "loops", "true"], words: /is restarting, wait until the container is running/, betweenRunsOf: "loops" },
    { argv: ["pause", "loops"], words: /is restarting, wait until the container is running/, betweenRunsOf: "loops" },
  ]);
  for (const front of all.slice(0, 2)) front.ok(["stop", "loops"]);
  await settles("loops", /^exited false false 1 /);
  same(all, [
    step("run", "--rm", "--restart", "always", "box:1", "true"),
    step("run", "--restart", "on-failure:x", "box:1", "true"),
    { argv: ["run", "--restart", "always:3", "box:1", "true"], words: /maximum retry count can/ },
  ]);
});

test.skipIf(reason, "health: states, results and messages", async (t) => {
  const all = await fronts(t);
  const quick = ["--health-interval", "200ms", "--health-retries", "2"] as const;
  for (const front of all.slice(0, 2)) {
    front.ok(["run", "-d", "--name", "well", "--net", "none", ...quick, "--health-cmd", "echo fine", "box:1", "sleep", "1000"]);
    front.ok(["run", "-d", "--name", "ill", "--net", "none", ...quick, "--health-cmd", "echo bad; exit 7", "box:1", "sleep", "1000"]);
    front.ok([
      "run",
      "-d",
      "--name",
      "early",
      "--net",
      "none",
      "--health-interval",
      "1h",
      "--health-cmd",
      "true",
      "box:1",
      "sleep",
      "1000",
    ]);
  }
  const status = "{{.State.Health.Status}}";
  for (const front of all)
    for (const [name, wanted] of [
      ["well", "healthy"],
      ["ill", "unhealthy"],
    ] as const)
      for (let attempts = 500; front.ok(["inspect", "-f", status, name]).trim() !== wanted; attempts -= 1) {
        if (attempts === 0) throw new Error(`${front.name}: ${name} is ${front.ok(["inspect", "-f", status, name])}`);
        await pause(20);
      }
  same(all, [
    step(
      "inspect",
      "-f",
      "{{.State.Health.Status}} {{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}",
      "well",
      "ill",
    ),
    step("inspect", "-f", "{{.State.Health.Status}} {{.State.Health.FailingStreak}} {{len .State.Health.Log}}", "early"),
    step("ps", "-f", "health=healthy", "--format", "{{.Names}}"),
    step("ps", "-f", "health=unhealthy", "--format", "{{.Names}}"),
    step("ps", "-f", "health=starting", "--format", "{{.Names}}"),
    step("run", "--no-healthcheck", "--health-cmd", "x", "box:1", "true"),
    {
      argv: ["create", "--health-cmd", "x", "--health-interval", "1us", "box:1"],
      words: /Interval in Healthcheck cannot be less than 1ms/,
    },
  ]);
});

test.skipIf(reason, "what a container is given: HOME, names, files, directories, codes", async (t) => {
  const all = await fronts(t);
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, "passwd"), "root:x:0:0:root:/elsewhere:/bin/sh\n");
  const passwd = ["-v", `${join(directory, "passwd")}:/etc/passwd`];
  same(all, [
    step(...none, ...passwd, "box:1", ...sh("echo $HOME")),
    step(...none, "-e", "HOME=", "box:1", ...sh("env | grep -c ^HOME; echo $HOME")),
    step(...none, "-e", "HOME=/own", "box:1", ...sh("env | grep ^HOME")),
    step(
      ...none,
      "--read-only",
      "box:1",
      ...sh("for f in hosts hostname resolv.conf; do echo x >> /etc/$f || echo $f; done 2>&1 | grep -v : "),
    ),
    step(...none, "box:1", ...sh("for f in hosts hostname resolv.conf; do echo '' >> /etc/$f && echo $f; done")),
    step(
      "run",
      "--rm",
      "--hostname",
      "host.example.org",
      "box:1",
      ...sh("grep example /etc/hosts | sed 's/^[0-9.]*//'; hostname; cat /etc/hostname"),
    ),
    step(
      "run",
      "--rm",
      "--hostname",
      "host",
      "--domainname",
      "example.org",
      "box:1",
      ...sh("grep example /etc/hosts | sed 's/^[0-9.]*//'"),
    ),
    step("run", "-d", "--name", "@c", "box:1", "sleep", "1000"),
    step("run", "-d", "--name", "@b", "--net", "container:@c", "box:1", "sleep", "1000"),
    step(...["run", "--rm", "--net", "container:@b", "box:1"], ...sh("wc -l < /etc/hosts; ip -o link | wc -l")),
    step("exec", "-e", "HOME=", "@c", ...sh("env | grep -c ^HOME; echo $HOME")),
    step("create", "--name", "@w", "--net", "none", "-w", "/made/deep", "box:1", "true"),
    step("diff", "@w"),
    step("rm", "@w"),
    step("create", "--name", "@w", "--net", "none", "-w", "/etc/passwd", "box:1", "true"),
    ...["nosuch", "/etc/passwd", "/etc"].flatMap((command, at): Step[] => [
      { argv: ["run", "--name", `@f${at}`, "--net", "none", "box:1", command], words: /executable file not found|permission denied/ },
      step(
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.State.StartedAt}} {{.State.FinishedAt}}",
        `@f${at}`,
      ),
      step("wait", `@f${at}`),
      step("ps", "-a", "--filter", `name=@f${at}`, "--format", "{{.Status}}"),
      step("rm", `@f${at}`),
    ]),
    { argv: ["create", "--name", "@s", "--stop-signal", "NOSUCH", "box:1"], words: /nvalid signal: NOSUCH/ },
    step("run", "-d", "--name", "@k", "--net", "none", "--stop-signal", "KILL", "box:1", "sleep", "1000"),
    step("kill", "-s", "NOSUCH", "@k"),
    step("stop", "@k"),
    step("inspect", "-f", "{{.State.ExitCode}}", "@k"),
    step("rm", "@k"),
    step(...none, "box:1", ...sh("ls -l /.dockerenv | cut -c1-10; readlink /etc/mtab")),
    step("run", "--name", "@d", "--net", "none", "box:1", "true"),
    step("diff", "@d"),
    step("rm", "@d"),
  ]);
  // Docker 20.10 also returns 126 for a missing directory.
  for (const [at, front] of all.entries()) {
    const exec = (...argv: readonly string[]): number => front.run(["exec", ...argv]).code;
    const codes = [exec("-u", "nosuch", `own${at}-c`, "true"), exec("-w", "/nosuch", `own${at}-c`, "true"), exec(`own${at}-c`, "nosuch")];
    assert.equal(codes, at === 0 ? [126, 126, 126] : [126, 127, 127], front.name);
    assert.is(exec(`own${at}-c`, "/etc/passwd"), 126, front.name);
  }
  same(all, [step("rm", "-f", "@b", "@c")]);
});

test.skipIf(reason, "images that containers use: what is refused, and what force overcomes", async (t) => {
  const all = await fronts(t);
  // Our two fronts share one engine, so each has its own images and containers.
  const differences: string[] = [];
  const steps: readonly (readonly string[])[] = [
    ["run", "-d", "--name", "USER", "--net", "none", "TAG:1", "sleep", "1000"],
    ["rmi", "TAG:1"],
    ["rmi", "TAGID"],
    ["rmi", "-f", "TAGID"],
    ["tag", "TAG:1", "TAG:2"],
    ["rmi", "TAG:2"],
    ["rmi", "TAGID"],
    ["tag", "TAG:1", "TAGother:1"],
    ["rmi", "TAGID"],
    ["rmi", "TAGother:1"],
    ["rmi", "-f", "TAG:1"],
    ["rmi", "TAGID"],
    ["rmi", "-f", "TAGID"],
    ["stop", "-t", "0", "USER"],
    ["rmi", "TAGID"],
    ["tag", "TAGID", "TAG:1"],
    ["rmi", "TAG:1"],
    ["rmi", "-f", "TAG:1"],
    ["start", "USER"],
    ["rm", "-f", "USER"],
  ];
  const seen = all.map((front, at) => {
    const tag = `used${at}`;
    front.ok(["run", "--name", tag, "--net", "none", "box:1", "touch", `/${tag}`]);
    const id = front.ok(["commit", tag, `${tag}:1`]).trim();
    front.ok(["rm", tag]);
    const own = (text: string): string => text.replaceAll("TAGID", id).replaceAll("TAG", tag).replaceAll("USER", `user${at}`);
    return steps.map((argv) => {
      const { code, stdout, stderr } = front.run(argv.map(own));
      const said = plain(`${stdout}${stderr}`)
        .replaceAll(tag, "TAG")
        .replaceAll(`user${at}`, "USER")
        .replace(/sha256:ID|\b[0-9a-f]{12}\b/g, "SHORT");
      return JSON.stringify([code, said]);
    });
  });
  for (const [at, argv] of steps.entries()) {
    const answers = seen.map((one) => one[at]);
    if (new Set(answers).size > 1)
      differences.push(`${argv.join(" ")}\n${answers.map((answer, front) => `    ${all[front]?.name}: ${answer}`).join("\n")}`);
  }
  assert.is(differences.length, 0, `\n${differences.join("\n")}`);
});
