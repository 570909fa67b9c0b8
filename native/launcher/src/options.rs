//! Where an engine keeps its things: a flag, else an environment variable, else the configuration file, else the default.

use serde::Deserialize;
use std::path::{Path, PathBuf};

pub struct Options {
    pub root: PathBuf,
    pub state: PathBuf,
    /// The HTTP socket.
    pub host: PathBuf,
    pub config: Option<PathBuf>,
    /// Started by a client: leave its session's cgroups, write to a file.
    pub background: bool,
    pub stop: bool,
}

/// The part of the configuration file that is needed before the daemon reads the rest and checks it all.
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
    let (mut background, mut stop) = (false, false);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--background" => background = true,
            "stop" => stop = true,
            "--help" | "-h" => {
                return Err("usage: tsbox daemon [stop] [--root DIR] [--state DIR] [--host unix:///PATH] [--config FILE]".to_owned());
            }
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
    let config = config
        .or_else(|| variable("TSBOX_CONFIG"))
        .map(PathBuf::from)
        .or_else(|| Some(DEFAULT_CONFIG.into()).filter(|path: &PathBuf| path.exists()));
    let file = config.as_deref().map(read).transpose()?.unwrap_or_default();
    let state = absolute(
        state
            .or_else(|| variable("TSBOX_STATE"))
            .or(file.state)
            .unwrap_or_else(|| "/run/tsbox".to_owned()),
    )?;
    let root = absolute(
        root.or_else(|| variable("TSBOX_ROOT"))
            .or(file.root)
            .unwrap_or_else(|| "/var/lib/tsbox".to_owned()),
    )?;
    let host = match host
        .or_else(|| variable("TSBOX_HOST"))
        .or(file.hosts.into_iter().find(|url| url.starts_with("unix://")))
    {
        None => state.join("tsbox.sock"),
        Some(url) => match url.strip_prefix("unix://") {
            Some(path) => absolute(path.to_owned())?,
            None => return Err(format!("invalid host \"{url}\": the engine listens on unix:///PATH")),
        },
    };
    Ok(Options {
        root,
        state,
        host,
        config,
        background,
        stop,
    })
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
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
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
