//! The engine that a command is for: `-H`/`--host`, then TSBOX_HOST, then DOCKER_HOST, then this host's own engine.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tsbox_core::peer::address;

pub const DEFAULT_STATE: &str = "/run/tsbox";

/// The environment variables that set an engine's locations. `tsbox daemon` has a flag for each.
pub struct Settings;

impl Settings {
    pub const ROOT: &'static str = "TSBOX_ROOT";
    pub const STATE: &'static str = "TSBOX_STATE";
    pub const HOST: &'static str = "TSBOX_HOST";
    pub const CONFIG: &'static str = "TSBOX_CONFIG";
}

pub enum Endpoint {
    /// This host's own engine, which the client may start. `http`: the address that the user gave.
    Own {
        state: PathBuf,
        http: Option<PathBuf>,
    },
    /// Another engine on this host. A tsbox engine has a link to its launcher next to that socket.
    Local {
        http: PathBuf,
    },
    Remote,
}

pub fn choose(args: &[String]) -> Result<Endpoint, String> {
    let state = PathBuf::from(variable(Settings::STATE).unwrap_or_else(|| DEFAULT_STATE.to_owned()));
    let Some(host) = flag(args).or_else(|| variable(Settings::HOST)).or_else(|| variable("DOCKER_HOST")) else {
        return Ok(Endpoint::Own { state, http: None });
    };
    let Some(path) = host.strip_prefix("unix://") else {
        return if host.contains("://") {
            Ok(Endpoint::Remote)
        } else {
            Err(format!("invalid host \"{host}\": give unix:///PATH, tcp://HOST:PORT or ssh://HOST"))
        };
    };
    let http = PathBuf::from(path);
    if http.file_name().is_none() {
        return Err(format!("invalid host \"{host}\": give unix:///PATH of a socket"));
    }
    Ok(if http.parent() == Some(state.as_path()) {
        Endpoint::Own { state, http: Some(http) }
    } else {
        Endpoint::Local { http }
    })
}

/// Connects to the launcher of the engine that listens on `http`, which may be a link to its socket.
pub fn launcher(http: &Path) -> Option<UnixStream> {
    let real = || address::connect(&address::link(&http.canonicalize().ok()?)).ok();
    address::connect(&address::link(http)).ok().or_else(real)
}

/// Finds `-H URL`, `-HURL`, `--host URL` or `--host=URL` before the command's name.
fn flag(args: &[String]) -> Option<String> {
    let mut at = 0;
    while let Some(word) = args.get(at).filter(|word| word.starts_with('-')) {
        if word == "-H" || word == "--host" {
            return args.get(at + 1).cloned();
        }
        if let Some(value) = word.strip_prefix("--host=").or_else(|| word.strip_prefix("-H")) {
            return Some(value.to_owned());
        }
        at += if VALUED.contains(&word.as_str()) { 2 } else { 1 };
    }
    None
}

/// Flags before the command's name that take a value.
const VALUED: [&str; 7] = ["-H", "--host", "--config", "-l", "--log-level", "-c", "--context"];

/// Commands whose later arguments belong to another program.
const OWN_WORDS: [&str; 4] = ["run", "create", "exec", "debug"];

/// Groups of commands, each with its own help text.
const GROUPS: [&str; 5] = ["container", "image", "network", "volume", "system"];

/// Commands that the portable CLI runs by itself.
const WITHOUT_ENGINE: [&str; 3] = ["help", "completion", "conformance"];

/// Whether the arguments ask for help or the client's version, or name a command that needs no engine: they start none.
pub fn wants_no_engine(args: &[String]) -> bool {
    let mut at = 0;
    while let Some(word) = args.get(at).filter(|word| word.starts_with('-')) {
        if matches!(word.as_str(), "--help" | "-h" | "--version" | "-v") {
            return true;
        }
        at += if VALUED.contains(&word.as_str()) { 2 } else { 1 };
    }
    let words = args.get(at..).unwrap_or_default();
    match words {
        [] => true,
        [first, ..] if WITHOUT_ENGINE.contains(&first.as_str()) => true,
        [group] if GROUPS.contains(&group.as_str()) => true,
        [group, rest @ ..] if group == "container" => asks_for_help(rest),
        words => asks_for_help(words),
    }
}

fn asks_for_help(words: &[String]) -> bool {
    match words {
        [command, rest @ ..] if OWN_WORDS.contains(&command.as_str()) => {
            help_before_words(rest, matches!(command.as_str(), "exec" | "debug"))
        }
        words => words
            .iter()
            .take_while(|word| *word != "--")
            .any(|word| word == "--help" || word == "-h"),
    }
}

/// Flags of the commands in `OWN_WORDS` that take no value. A test of plugins/cli compares them with its own flags.
const STANDING: [&str; 14] = [
    "detach",
    "disable-content-trust",
    "init",
    "interactive",
    "no-healthcheck",
    "oom-kill-disable",
    "privileged",
    "publish-all",
    "quiet",
    "read-only",
    "rm",
    "sig-proxy",
    "timings",
    "tty",
];
const STANDING_LETTERS: &str = "ditPq";

/// Whether `--help` is among the flags, before the first other argument. If `short` is false, `-h` sets the host's name.
fn help_before_words(words: &[String], short: bool) -> bool {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word == "--help" || (short && word == "-h") {
            return true;
        }
        if word == "--" || word == "-" || !word.starts_with('-') {
            return false;
        }
        let takes_another = match word.strip_prefix("--") {
            Some(name) => !name.contains('=') && !STANDING.contains(&name),
            // The first letter that takes a value takes the rest of the argument, or the next argument.
            None => word[1..]
                .chars()
                .position(|letter| !STANDING_LETTERS.contains(letter))
                .is_some_and(|at| at + 2 == word.chars().count()),
        };
        at += if takes_another { 2 } else { 1 };
    }
    false
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_flag_counts_only_before_the_command() {
        assert_eq!(flag(&words("-H unix:///a ps")), Some("unix:///a".into()));
        assert_eq!(flag(&words("--config X --host=tcp://h:1 ps")), Some("tcp://h:1".into()));
        assert_eq!(flag(&words("run -H x")), None);
    }

    #[test]
    fn help_and_version_want_no_engine() {
        for text in [
            "",
            "--help",
            "-H unix:///x --version",
            "-v",
            "help run",
            "run --help",
            "container exec --help",
            "ps -a --help",
            "volume",
            "volume ls --help",
            "network --help",
            "ps -h",
            "exec -h",
            "run --rm -it --name --help --help",
            "run -itv a:b --net=none -h x --help",
            "create -e A --read-only --help box --rm",
            "--debug conformance --format json storage overlay",
        ] {
            assert!(wants_no_engine(&words(text)), "{text}");
        }
        for text in [
            "version",
            "run box prog --help",
            "run --rm -v a:b box --help",
            "run --name --help box",
            "run -h box",
            "exec box --help",
            "run -it -- --help",
            "ps",
            "-l debug ps",
            "run conformance",
        ] {
            assert!(!wants_no_engine(&words(text)), "{text}");
        }
    }
}
