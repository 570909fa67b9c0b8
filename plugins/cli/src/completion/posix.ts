/** Completion for bash and zsh, made from the command table: shared functions, and a few lines for each shell. */
import type { CommandWords, Groups, Kind } from "./table.ts";

/** `'it'\''s'` */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const lines = (words: readonly string[]): string => (words.length === 0 ? ":" : `printf '%s\\n' ${words.map(quoted).join(" ")}`);
const offer = (kind: Kind): string => (typeof kind === "string" ? (kind === "none" ? ":" : `__tsbox_names ${kind}`) : lines(kind));

/** One `case` over the command's path. Commands with the same body share one arm. */
function byPath(commands: readonly CommandWords[], body: (command: CommandWords) => string): string {
  const arms = new Map<string, string[]>();
  for (const command of commands) {
    const text = body(command);
    if (text !== "") arms.set(text, [...(arms.get(text) ?? []), command.path]);
  }
  return [...arms].map(([text, paths]) => `    ${paths.map(quoted).join("|")}) ${text} ;;`).join("\n");
}

const valued = ({ flags }: CommandWords): string =>
  flags
    .filter(({ value }) => value !== null)
    .flatMap(({ long, short }) => [long, ...(short === null ? [] : [short])])
    .join("|");

function wordsOf({ words, more }: CommandWords): string {
  if (words.length === 0) return "";
  const arms = words.map((kind, at) => `${more && at === words.length - 1 ? "*" : at + 1}) ${offer(kind)} ;;`);
  return `case $2 in ${arms.join(" ")} esac`;
}

function valuesOf({ flags }: CommandWords): string {
  const arms = flags.flatMap(({ long, short, value }) =>
    value === null || value === "none" ? [] : [`${[long, ...(short === null ? [] : [short])].join("|")}) ${offer(value)} ;;`],
  );
  return arms.length === 0 ? "" : `case $2 in ${arms.join(" ")} esac`;
}

function shared(commands: readonly CommandWords[], groups: Groups): string {
  const top = [...new Set([...commands.map(({ path }) => path.split(" ")[0] ?? ""), ...Object.keys(groups)])].sort();
  const verbs = Object.keys(groups).map(
    (group) =>
      `    ${quoted(group)}) ${lines(commands.filter(({ path }) => path.startsWith(`${group} `)).map(({ path }) => path.slice(group.length + 1)))} ;;`,
  );
  return `# Asks an engine for names, if one is there: completing must not start one.
__tsbox_ask() {
  [ -n "\${TSBOX_HOST:-}\${DOCKER_HOST:-}" ] || [ -S "\${TSBOX_STATE:-/run/tsbox}/launcher.sock" ] || return 0
  command tsbox "$@" 2>/dev/null
}
__tsbox_names() {
  case $1 in
    container) __tsbox_ask ps -a --format '{{.Names}}' ;;
    image) __tsbox_ask images --format '{{.Repository}}:{{.Tag}}' | grep -v '<none>' ;;
    volume) __tsbox_ask volume ls -q ;;
    network) __tsbox_ask network ls --format '{{.Name}}' ;;
    object) for kind in container image volume network; do __tsbox_names $kind; done ;;
    file) echo @files ;;
  esac
}
__tsbox_group() {
  case $1 in
    ${Object.keys(groups).map(quoted).join("|")}) return 0 ;;
  esac
  return 1
}
__tsbox_verbs() {
  case $1 in
${verbs.join("\n")}
  esac
}
__tsbox_flags() {
  case $1 in
${byPath(commands, ({ flags }) => lines(flags.flatMap(({ long, short }) => [long, ...(short === null ? [] : [short])])))}
  esac
}
# Whether flag $2 of command $1 takes the next word.
__tsbox_takes() {
  case $1 in
${byPath(commands, (command) => (valued(command) === "" ? "" : `case $2 in ${valued(command)}) return 0 ;; esac`))}
  esac
  return 1
}
# What flag $2 of command $1 may be given.
__tsbox_values() {
  case $1 in
${byPath(commands, valuesOf)}
  esac
}
# What word number $2 of command $1 may be.
__tsbox_words() {
  case $1 in
${byPath(commands, wordsOf)}
  esac
}
# (No variable is called path: in zsh that is the search path.) $1: the word that is being typed; the others: those before it. One candidate a line; @files: files, too.
__tsbox_candidates() {
  local typed=$1 command= count=0
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      -H|--host|-c|--context|--config|-l|--log-level) [ $# -gt 1 ] || return 0; shift 2 ;;
      -*) shift ;;
      *) break ;;
    esac
  done
  if [ $# -eq 0 ]; then
    ${lines([...top, "--help", "--host", "--version"])}
    return 0
  fi
  command=$1
  shift
  if __tsbox_group "$command"; then
    if [ $# -eq 0 ]; then
      __tsbox_verbs "$command"
      return 0
    fi
    command="$command $1"
    shift
  fi
  while [ $# -gt 0 ]; do
    case $1 in
      --*=*) ;;
      -*)
        if __tsbox_takes "$command" "$1"; then
          if [ $# -eq 1 ]; then
            __tsbox_values "$command" "$1"
            return 0
          fi
          shift
        fi ;;
      *) count=$((count + 1)) ;;
    esac
    shift
  done
  case $typed in
    --*=*) __tsbox_values "$command" "\${typed%%=*}" | while IFS= read -r value; do echo "\${typed%%=*}=$value"; done ;;
    -*) __tsbox_flags "$command" ;;
    *) __tsbox_words "$command" $((count + 1)) ;;
  esac
}
`;
}

export function bashScript(commands: readonly CommandWords[], groups: Groups): string {
  return `# Completion of tsbox for bash. To use it: source <(tsbox completion bash)
${shared(commands, groups)}_tsbox() {
  local line=\${COMP_LINE:0:COMP_POINT} typed= candidate
  local -a before
  read -ra before <<<"$line"
  # What bash calls words it has cut at = and :, which names have in them.
  if [[ $line != *[[:space:]] ]]; then
    typed=\${before[\${#before[@]} - 1]}
    unset "before[\${#before[@]} - 1]"
  fi
  COMPREPLY=()
  local cut=\${typed%"\${typed##*[=:]}"}
  while IFS= read -r candidate; do
    if [[ $candidate == *@files ]]; then
      while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "\${typed#"$cut"}")
    elif [[ $candidate == "$typed"* ]]; then
      COMPREPLY+=("\${candidate#"$cut"}")
    fi
  done < <(__tsbox_candidates "$typed" "\${before[@]:1}")
}
complete -o filenames -F _tsbox tsbox
`;
}

export function zshScript(commands: readonly CommandWords[], groups: Groups): string {
  return `#compdef tsbox
# Completion of tsbox for zsh. To use it: source <(tsbox completion zsh), or write it to a file _tsbox in a directory of $fpath
${shared(commands, groups)}_tsbox() {
  local -a found
  found=("\${(@f)$(__tsbox_candidates "$PREFIX" "\${(@)words[2,CURRENT-1]}")}")
  if (( \${found[(I)*@files]} )); then
    found=("\${(@)found:#*@files}")
    compset -P '*='
    _files
  fi
  compadd -Q -- "\${(@)found:#}"
}
if [ "\${funcstack[1]}" = "_tsbox" ]; then
  _tsbox "$@"
else
  compdef _tsbox tsbox
fi
`;
}
