/** Completion in real shells, with names from a running engine. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("shell completion", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const lacks = (shell: string): string | null =>
  ["/bin", "/usr/bin"].some((folder) => existsSync(`${folder}/${shell}`))
    ? null
    : `${shell} is not installed (scripts/packages installs it)`;

function shell(own: Engine, argv: readonly string[]): readonly string[] {
  const [program = "", ...rest] = argv;
  const { stdout, stderr, status } = spawnSync(program, rest, {
    encoding: "utf8",
    cwd: "/",
    env: { ...own.environment, PATH: `${dirname(binary)}:${process.env.PATH ?? ""}`, TERM: "dumb" },
  });
  assert.is(status, 0, stderr);
  return stdout.split("\n").filter(Boolean);
}

async function world(own: Engine): Promise<void> {
  await own.ok(["create", "--name", "web", "--net", "none", "host:/", "true"]);
  await own.ok(["create", "--name", "worker", "--net", "none", "host:/", "true"]);
  await own.ok(["tag", "host:/", "machine:1"]);
  await own.ok(["volume", "create", "data"]);
  await own.ok(["network", "create", "lan"]);
}

/** The input, completions that every shell offers among others, and words that no shell offers. */
const cases: readonly (readonly [line: string, offered: readonly string[], not: readonly string[]])[] = [
  ["tsbox ru", ["run"], ["rm", "web"]],
  ["tsbox vol", ["volume"], ["run"]],
  ["tsbox volume ", ["create", "inspect", "ls", "prune", "rm"], ["stop"]],
  ["tsbox volume rm ", ["data"], ["web", "lan"]],
  ["tsbox network rm l", ["lan"], ["data"]],
  ["tsbox rm w", ["web", "worker"], ["data"]],
  ["tsbox rm -f web wo", ["worker"], ["lan"]],
  ["tsbox container stop w", ["web", "worker"], ["lan"]],
  ["tsbox run --net ", ["bridge", "host", "lan", "none"], ["web"]],
  ["tsbox run --restart ", ["always", "on-failure"], ["web"]],
  ["tsbox run --rm --volumes-from ", ["web", "worker"], ["lan"]],
  ["tsbox run --mou", ["--mount"], ["--memory"]],
  ["tsbox rm --vo", ["--volumes"], ["--force"]],
  ["tsbox completion ", ["bash", "fish", "zsh"], ["web"]],
];

test.skipIf(reason, "bash", async (t) => {
  const own = await engine(t);
  await world(own);
  const complete = (line: string): readonly string[] =>
    shell(own, [
      "bash",
      "-c",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
      'source <(tsbox completion bash); COMP_LINE=$1; COMP_POINT=${#1}; _tsbox; printf "%s\\n" "${COMPREPLY[@]}"',
      "bash",
      line,
    ]);
  check(complete);
  assert.equal(complete("tsbox rmi machine:"), ["1"], "bash has cut the word at the colon");
  assert.equal(complete("tsbox run --net=l"), ["lan"]);
  assert.ok(complete("tsbox load -i /etc/pass").includes("/etc/passwd"));
});

test.skipIf(reason ?? lacks("fish"), "fish", async (t) => {
  const own = await engine(t);
  await world(own);
  check((line) =>
    shell(own, ["fish", "--no-config", "-c", "tsbox completion fish | source; complete -C $argv[1]", line]).map(
      (row) => row.split("\t")[0] ?? "",
    ),
  );
});

test.skipIf(reason ?? lacks("zsh"), "zsh", async (t) => {
  const own = await engine(t);
  await world(own);
  // Simulates the line editor: the words, the current one, and a compadd that prints its arguments.
  const script = `
    compdef() { : }
    compset() { : }
    _files() { print -l -- \${PREFIX}*(N) }
    compadd() { while [[ $1 == -Q ]]; do shift; done; [[ $1 == -- ]] && shift; for word in "$@"; do [[ $word == "$PREFIX"* ]] && print -r -- "$word"; done; return 0 }
    source <(tsbox completion zsh)
    words=("\${(@s: :)1}"); CURRENT=\${#words}; PREFIX=\${words[-1]}
    _tsbox`;
  const complete = (line: string): readonly string[] => shell(own, ["zsh", "-f", "-c", script, "zsh", line]);
  check(complete);
  assert.ok(complete("tsbox load -i /etc/pass").includes("/etc/passwd"));
  execFileSync("zsh", ["-n"], { input: await own.ok(["completion", "zsh"]) });
});

test.skipIf(reason, "without an engine nothing is started, and commands and flags are offered all the same", async (t) => {
  const own = await engine(t);
  const text = await own.ok(["completion", "bash"]);
  await own.stop();
  const { stdout } = spawnSync(
    "bash",
    ["-c", `${text}\nfor COMP_LINE in "tsbox rm " "tsbox rm --f"; do COMP_POINT=\${#COMP_LINE}; _tsbox; echo "\${COMPREPLY[*]}"; done`],
    { encoding: "utf8", env: { PATH: `${dirname(binary)}:${process.env.PATH ?? ""}`, TSBOX_STATE: own.state, TSBOX_ROOT: own.root } },
  );
  assert.is(stdout, "\n--force\n");
  assert.not.ok(existsSync(`${own.state}/launcher.sock`), "an engine was started");
  await own.start();
  assert.match((await own.run(["completion", "csh"])).stderr, /^tsbox: no completion for csh: there are bash, zsh, fish\n$/);
});

function check(complete: (line: string) => readonly string[]): void {
  for (const [line, offered, not] of cases) {
    const found = complete(line);
    for (const word of offered) assert.ok(found.includes(word), `${JSON.stringify(line)} offers ${found.join(" ")}, and not ${word}`);
    for (const word of not) assert.not.ok(found.includes(word), `${JSON.stringify(line)} offers ${word}`);
  }
}
