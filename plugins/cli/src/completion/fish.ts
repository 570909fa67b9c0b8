/** Completion for fish, made from the command table. */
import type { CommandWords, Groups, Kind } from "./table.ts";

const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** The value of `-a`; null: no completions. */
function offer(kind: Kind): string | null {
  if (typeof kind !== "string") return quoted(kind.join(" "));
  return kind === "none" || kind === "file" ? null : quoted(`(__tsbox_names ${kind})`);
}

export function fishScript(commands: readonly CommandWords[], groups: Groups): string {
  const of = (path: string): string => `complete -c tsbox -n ${quoted(`__tsbox_is ${path}`)}`;
  const top = commands.filter(({ path }) => !path.includes(" "));
  const lines = [
    ...top.map(({ path, about }) => `complete -c tsbox -n __tsbox_none -a ${quoted(path)} -d ${quoted(about)}`),
    ...Object.keys(groups).map((group) => `complete -c tsbox -n __tsbox_none -a ${quoted(group)} -d ${quoted(`Commands of ${group}s`)}`),
    ...commands
      .filter(({ path }) => path.includes(" "))
      .map(({ path, about }) => {
        const [group = "", verb = ""] = path.split(" ");
        return `complete -c tsbox -n ${quoted(`__tsbox_group ${group}`)} -a ${quoted(verb)} -d ${quoted(about)}`;
      }),
    ...commands.flatMap(({ path, flags, words }) => [
      ...flags.map(({ long, short, help, value }) => {
        const names = `-l ${long.slice(2)}${short === null ? "" : ` -s ${short.slice(1)}`}`;
        const values = value === null ? null : offer(value);
        const takes = value === null ? "" : `${value === "file" ? " -rF" : " -x"}${values === null ? "" : ` -a ${values}`}`;
        return `${of(path)} ${names}${takes} -d ${quoted(help)}`;
      }),
      ...[...new Set(words.map(offer))].flatMap((kind) => (kind === null ? [] : [`${of(path)} -a ${kind}`])),
      ...(words.includes("file") ? [`${of(path)} -F`] : []),
    ]),
  ];
  return `# Completion of tsbox for fish. To use it: tsbox completion fish | source
# Asks an engine for names, if one is there: completing must not start one.
function __tsbox_ask
    set -l state /run/tsbox
    set -q TSBOX_STATE; and set state $TSBOX_STATE
    set -q TSBOX_HOST; or set -q DOCKER_HOST; or test -S $state/launcher.sock; or return 0
    command tsbox $argv 2>/dev/null
end
function __tsbox_names
    switch $argv[1]
        case container
            __tsbox_ask ps -a --format '{{.Names}}'
        case image
            __tsbox_ask images --format '{{.Repository}}:{{.Tag}}' | string match -v '*<none>*'
        case volume
            __tsbox_ask volume ls -q
        case network
            __tsbox_ask network ls --format '{{.Name}}'
        case object
            for kind in container image volume network
                __tsbox_names $kind
            end
    end
end
# The words of the command itself: without flags.
function __tsbox_path
    string match -v -- '-*' (commandline -opc)[2..]
end
function __tsbox_none
    test (count (__tsbox_path)) -eq 0
end
function __tsbox_group
    test "$(__tsbox_path)" = "$argv"
end
function __tsbox_is
    set -l path (__tsbox_path)
    set -l wanted (count $argv)
    test (count $path) -ge $wanted; and test "$path[1..$wanted]" = "$argv"
end
complete -c tsbox -f
${lines.join("\n")}
`;
}
