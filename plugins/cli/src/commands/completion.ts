/** `completion bash|zsh|fish`: prints the script that a shell sources to complete tsbox's command lines. */
import { CommandError } from "../command-error.ts";
import { fishScript } from "../completion/fish.ts";
import { bashScript, zshScript } from "../completion/posix.ts";
import { commandWords, type Groups } from "../completion/table.ts";
import type { Command } from "../io.ts";

const shells = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** `table`: all commands, including this one. */
export function completionOf(table: () => { readonly all: readonly Command[]; readonly groups: Groups }): Command {
  return {
    name: "completion",
    usage: "completion bash|zsh|fish",
    about: "Generate the autocompletion script for a shell",
    flags: {},
    words: [1, 1],
    async run(io, _api, parsed) {
      const shell = parsed.words[0] ?? "";
      if (!Object.hasOwn(shells, shell))
        throw new CommandError(1, `no completion for ${shell}: there are ${Object.keys(shells).join(", ")}`);
      const { all, groups } = table();
      await io.out(shells[shell as keyof typeof shells](commandWords(all, groups), groups));
      return 0;
    },
  };
}
