//! The locations of an engine's files: from a flag, else an environment variable, else the configuration file, else the default.

use serde::Deserialize;
use std::path::{Path, PathBuf};

pub struct Options {
    pub root: PathBuf,
    pub state: PathBuf,
    /// The HTTP socket.
    pub host: PathBuf,
    pub config: Option<PathBuf>,
    /// A client started the engine: leave the cgroups of its session, and log to a file.
    pub background: bool,
    pub action: Action,
    pub given: Given,
}

/// Paths that a flag or a variable gave, made absolute. The configuration file, which may change, is not included.
pub struct Given {
    pub root: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub host: Option<PathBuf>,
    pub config: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Serve,
    Stop,
    /// Install or remove the service of systemd.
    Enable,
    Disable,
    Help,
}

/// The flag with which a client starts the engine.
pub const BACKGROUND: &str = "--background";

pub const USAGE: &str = "Usage:  tsbox daemon [stop|enable|disable] [--root DIR] [--state DIR] [--host unix:///PATH] [--config FILE]";

/// The part of the configuration file that is needed before the daemon reads and checks all of it.
#[derive(Default, Deserialize)]
struct File {
    root: Option<String>,
    state: Option<String>,
    #[serde(default)]
    hosts: Vec<String>,
}

const DEFAULT_CONFIG: &str = "/etc/tsbox/config.json";

pub fn parse(args: &[String]) -> Result<Options, String> {
    let mut flags = [const { None }; 4];
    let names = ["root", "state", "host", "config"];
    let (mut background, mut action) = (false, Action::Serve);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            BACKGROUND => background = true,
            "stop" => action = Action::Stop,
            "enable" => action = Action::Enable,
            "disable" => action = Action::Disable,
            "--help" | "-h" => action = Action::Help,
            _ => {
                let (name, value) = word
                    .split_once('=')
                    .map_or((word.as_str(), None), |(name, value)| (name, Some(value.to_owned())));
                let name = if name == "-H" { "--host" } else { name };
                let Some(at) = names.iter().position(|known| name.strip_prefix("--") == Some(*known)) else {
                    return Err(format!("unknown flag: {word}; see `tsbox daemon --help`"));
                };
                flags[at] = Some(
                    value
                        .or_else(|| words.next().cloned())
                        .ok_or_else(|| format!("flag needs an argument: {name}"))?,
                );
            }
        }
    }
    let [root, state, host, config] = flags;
    let path = |flag: Option<String>, name: &str| flag.or_else(|| variable(name)).map(absolute).transpose();
    let given = Given {
        root: path(root, "TSBOX_ROOT")?,
        state: path(state, "TSBOX_STATE")?,
        host: host.or_else(|| variable("TSBOX_HOST")).map(socket).transpose()?,
        config: path(config, "TSBOX_CONFIG")?,
    };
    let config = given
        .config
        .clone()
        .or_else(|| Some(DEFAULT_CONFIG.into()).filter(|path: &PathBuf| path.exists()));
    let file = config.as_deref().map(read).transpose()?.unwrap_or_default();
    let directory = |given: &Option<PathBuf>, configured: Option<String>, default: &str| match given {
        Some(path) => Ok(path.clone()),
        None => absolute(configured.unwrap_or_else(|| default.to_owned())),
    };
    let state = directory(&given.state, file.state, "/run/tsbox")?;
    let root = directory(&given.root, file.root, "/var/lib/tsbox")?;
    let configured = file.hosts.into_iter().find(|url| url.starts_with("unix://"));
    let host = match &given.host {
        Some(path) => path.clone(),
        None => configured.map(socket).transpose()?.unwrap_or_else(|| state.join("tsbox.sock")),
    };
    Ok(Options {
        root,
        state,
        host,
        config,
        background,
        action,
        given,
    })
}

fn socket(url: String) -> Result<PathBuf, String> {
    match url.strip_prefix("unix://") {
        Some(path) => absolute(path.to_owned()),
        None => Err(format!("invalid host \"{url}\": the engine listens on unix:///PATH")),
    }
}

fn read(path: &Path) -> Result<File, String> {
    let text = std::fs::read(path).map_err(|error| format!("can't read the configuration {}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("the configuration {} is not right: {error}", path.display()))
}

fn absolute(path: String) -> Result<PathBuf, String> {
    std::path::absolute(&path).map_err(|error| format!("invalid path \"{path}\": {error}"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_sockets_follow_the_state_directory() {
        let options = parse(&words("--state /tmp/s --root=/tmp/r")).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(options.host, PathBuf::from("/tmp/s/tsbox.sock"));
        assert_eq!(options.root, PathBuf::from("/tmp/r"));
        assert_eq!(options.given.state, Some(PathBuf::from("/tmp/s")));
        assert_eq!(options.given.host, None);
    }

    #[test]
    fn a_wrong_argument_is_reported_in_one_line() {
        for (args, part) in [
            ("--nope", "unknown flag"),
            ("--root", "needs an argument"),
            ("--host tcp://x", "invalid host"),
            ("--config /no/such", "can't read"),
        ] {
            let why = parse(&words(args)).err().unwrap_or_default();
            assert!(why.contains(part) && !why.contains('\n'), "{args}: {why}");
        }
    }
}
