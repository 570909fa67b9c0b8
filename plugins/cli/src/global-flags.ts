/** Flags before the command's name: the engine's address, and the configuration to use. */

/** Global flags that take a value. */
const withValue = ["-H", "--host", "--config", "-c", "--context", "-l", "--log-level"];

/** The value of a long flag before the command's name: `--NAME VALUE`, `--NAME=VALUE`; null: not given. */
export function globalFlag(argv: readonly string[], name: string): string | null {
  for (let at = 0; at < argv.length && argv[at]?.startsWith("-"); at += 1) {
    const word = argv[at] ?? "";
    if (word === name) return argv[at + 1] ?? "";
    if (word.startsWith(`${name}=`)) return word.slice(name.length + 1);
    if (withValue.includes(word)) at += 1;
  }
  return null;
}

/** The command and its arguments, without the global flags: the client has already applied those. */
export function withoutGlobalFlags(argv: readonly string[]): readonly string[] {
  let at = 0;
  while (at < argv.length) {
    const word = argv[at] ?? "";
    if (withValue.includes(word)) at += 2;
    else if (/^--(host|config|context|log-level)=/.test(word) || /^-H./.test(word) || word === "-D" || word === "--debug") at += 1;
    else break;
  }
  return argv.slice(at);
}
