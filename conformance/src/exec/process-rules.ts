/** Rules for the first process: it sees what the spec says. */
import { expect, expectCode, type Rule } from "../rule.ts";
import { command, environment, script, withProcess } from "./spec.ts";
import type { Ended, ExecWorld } from "./world.ts";

export const processRules: readonly Rule<ExecWorld>[] = [
  {
    id: "exec/exit-code",
    contract: "ExitStatus.code",
    title: "the exit code is the process's own",
    async run(world) {
      for (const code of [0, 1, 7, 255]) {
        const ended = await world.run(world.bundle(script(`exit ${code}`)));
        expect(ended.code === code, `exit ${code} was seen as ${ended.code}`);
      }
    },
  },
  {
    id: "exec/stdio-apart",
    contract: "stdio, terminals, logs, attach, waiting and exit codes are the same for every format",
    title: "standard output and standard error are two, whole and unchanged",
    async run(world) {
      const ended = await world.run(world.bundle(script("echo out; echo err >&2; head -c 1000000 /dev/zero | tr '\\0' x")));
      expect(ended.stderr === "err\n", `standard error is ${JSON.stringify(ended.stderr.slice(0, 200))}`);
      expect(ended.stdout === `out\n${"x".repeat(1_000_000)}`, `standard output has ${ended.stdout.length} characters`);
    },
  },
  {
    id: "exec/stdin",
    contract: "stdio, terminals, logs, attach, waiting and exit codes are the same for every format",
    title: "standard input comes through and ends",
    async run(world) {
      const input = "line\n".repeat(50_000);
      expect((await world.run(world.bundle(command("cat")), input)).stdout === input, "what went in did not come out");
      expect((await world.run(world.bundle(command("cat")))).stdout === "", "an empty input is not empty");
    },
  },
  {
    id: "exec/descriptors",
    contract: "oci: config.md#process",
    title: "the process has descriptors 0, 1 and 2, and no other (CVE-2024-21626)",
    async run(world) {
      show(await world.run(world.bundle(script("ls /proc/$$/fd; true"))), "0\n1\n2\n");
    },
  },
  {
    id: "exec/arguments",
    contract: "oci: config.md#process",
    title: "arguments arrive as they are",
    async run(world) {
      const words = ["a b", "", "$HOME", "'\"\\", "ü\n"];
      show(await world.run(world.bundle(command("printf", "<%s>", ...words))), words.map((word) => `<${word}>`).join(""));
    },
  },
  {
    id: "exec/environment",
    contract: "oci: config.md#process",
    title: "the environment is the spec's, and the host's own stays outside",
    async run(world) {
      const { stdout } = await world.run(world.bundle(command("env")));
      const [shown, wanted] = [stdout.trimEnd().split("\n").sort(), [...environment].sort()];
      expect(JSON.stringify(shown) === JSON.stringify(wanted), `the environment is ${JSON.stringify(shown)}`);
    },
  },
  {
    id: "exec/working-directory",
    contract: "oci: config.md#process",
    title: "the process starts in its working directory",
    async run(world) {
      show(await world.run(world.bundle(withProcess(command("pwd"), { cwd: "/etc" }))), "/etc\n");
    },
  },
  {
    id: "exec/user",
    contract: "oci: config.md#user",
    title: "user, group and additional groups are the spec's",
    async run(world) {
      const user = { uid: 1000, gid: 1001, additionalGids: [5, 6] };
      const { stdout } = await world.run(world.bundle(withProcess(script("id -u; id -g; id -G"), { user })));
      const [uid, gid, groups = ""] = stdout.trim().split("\n");
      const sorted = groups.split(" ").sort().join(" ");
      expect(uid === "1000" && gid === "1001" && sorted === "1001 5 6", `id says ${uid}, ${gid}, ${sorted}`);
    },
  },
  {
    id: "exec/terminal",
    contract: "ExecPowers.terminal",
    title: "with a terminal all three descriptors are one",
    needs: ["terminal"],
    async run(world) {
      const ended = await world.run(world.bundle(withProcess(script("test -t 0 && test -t 1 && test -t 2 && tty"), { terminal: true })));
      expect(/^\/dev\/(pts\/\d+|console)\r\n$/.test(ended.stdout), `tty says ${JSON.stringify(ended.stdout)}, exit code ${ended.code}`);
    },
  },
  {
    id: "exec/command-not-found",
    contract: "Explains.explain",
    title: "a command that is not there is CommandNotFound",
    async run(world) {
      for (const word of ["/no/such/command", "no-such-command"]) {
        await expectCode(world.run(world.bundle(command(word))), "CommandNotFound");
      }
    },
  },
  {
    id: "exec/not-executable",
    contract: "Explains.explain",
    title: "a command that can't be executed is NotExecutable",
    async run(world) {
      for (const word of ["/etc/passwd", "/etc"]) await expectCode(world.run(world.bundle(command(word))), "NotExecutable");
    },
  },
];

export function show(ended: Ended, wanted: string): void {
  expect(
    ended.stdout === wanted,
    `shows ${JSON.stringify(ended.stdout)} instead of ${JSON.stringify(wanted)}; exit code ${ended.code}, standard error ${JSON.stringify(ended.stderr)}`,
  );
}
