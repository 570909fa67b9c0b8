/** Rules for streams of every kind, and for signals. */
import { expect, type Rule } from "../rule.ts";
import { show } from "./process-rules.ts";
import { command, script, withProcess } from "./spec.ts";
import type { ExecWorld } from "./world.ts";

const gigabyte = 1 << 30;

export const streamRules: readonly Rule<ExecWorld>[] = [
  {
    id: "exec/closed-input",
    contract: "stdio, terminals, logs, attach, waiting and exit codes are the same for every format",
    title: "a start without a standard input gives it an empty one, and no other file takes its number",
    async run(world) {
      const container = await world.start(world.bundle(script("test -e /proc/$$/fd/0 && cat && echo read")), { stdin: "closed" });
      show(await container.ended, "read\n");
    },
  },
  {
    id: "exec/no-reader",
    contract: "stdio, terminals, logs, attach, waiting and exit codes are the same for every format",
    title: "a write without a reader ends the writer with SIGPIPE",
    async run(world) {
      const bundle = world.bundle(script("head -c 10000000 /dev/zero; echo $? >&2"));
      const { stderr } = await (await world.start(bundle, { stdout: "no reader" })).ended;
      expect(stderr === "141\n", `the writer ended with ${JSON.stringify(stderr)}`);
    },
  },
  {
    id: "exec/a-gigabyte",
    contract: "stdio, terminals, logs, attach, waiting and exit codes are the same for every format",
    title: "a gigabyte of output arrives whole",
    async run(world) {
      const bundle = world.bundle(command("dd", "if=/dev/zero", "bs=1048576", "count=1024"));
      const { code, stdout } = await (await world.start(bundle, { stdout: "counted" })).ended;
      expect(code === 0 && stdout === String(gigabyte), `exit code ${code} after ${stdout} bytes`);
    },
  },
  {
    id: "exec/input-as-it-comes",
    contract: "stdio, terminals, logs, attach, waiting and exit codes are the same for every format",
    title: "input is there when it is written, not when it ends, and so is output",
    async run(world) {
      const container = await world.start(
        world.bundle(script('while read line; do echo "heard $line"; [ "$line" = end ] && exit 3; done')),
      );
      for (const word of ["one", "two"]) {
        container.write(`${word}\n`);
        await container.shows(`heard ${word}\n`);
      }
      container.write("end\n");
      expect((await container.ended).code === 3, "the last line was not heard");
    },
  },
  {
    id: "exec/signals-arrive",
    contract: "oci: runtime.md#kill",
    title: "each signal reaches the first process, whose handlers and whose end are its own",
    needs: ["processes"],
    async run(world) {
      const traps = ["HUP", "INT", "QUIT", "USR1", "USR2", "WINCH"].map((name) => `trap 'echo got ${name}' ${name}`).join("; ");
      const container = await world.start(world.bundle(script(`${traps}; trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done`)));
      await container.shows("ready\n");
      for (const name of ["HUP", "INT", "QUIT", "USR1", "USR2", "WINCH"]) {
        container.signal(`SIG${name}` as NodeJS.Signals);
        await container.shows(`got ${name}\n`);
      }
      container.signal("SIGTERM");
      expect((await container.ended).code === 5, "it did not end as its handler says");
      const other = await world.start(world.bundle(script("echo ready; while :; do sleep 0.02; done")));
      await other.shows("ready\n");
      // Without a handler, the kernel does not deliver SIGTERM to the first process of a pid namespace.
      other.signal("SIGTERM");
      other.signal("SIGKILL");
      expect((await other.ended).code === 137, "SIGKILL was not the end");
    },
  },
  {
    id: "exec/terminal-controls",
    contract: "ExecPowers.terminal",
    title: "the terminal is the process's controlling one: a typed ctrl-C is a signal, /dev/tty is there",
    needs: ["terminal"],
    async run(world) {
      const text = "trap 'echo caught > /dev/tty; exit 3' INT; echo ready; read line; echo missed; exit 4";
      const container = await world.start(world.bundle(withProcess(script(text), { terminal: true })));
      await container.shows("ready\r\n");
      container.write("\u0003\n");
      const { code, stdout } = await container.ended;
      expect(code === 3 && stdout.includes("caught\r\n"), `exit code ${code}, shows ${JSON.stringify(stdout)}`);
    },
  },
];
