//! The user's docker configuration: `config.json` in `--config DIR`, DOCKER_CONFIG or ~/.docker. It is the user's file and contains their
//! credentials, so the client reads it and passes on only the detach keys, and credentials when a pull asks for them (`logins.rs`).

use crate::terminal;
use serde::Deserialize;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The maximum number of bytes that are read. No real file is larger, and an endless one does not hang the client.
const LONGEST: u64 = 4 << 20;

pub const FILE: &str = "config.json";

#[derive(Deserialize)]
struct Config {
    #[serde(default, rename = "detachKeys")]
    detach_keys: Option<String>,
}

/// `detachKeys`, for commands that lend a terminal, at a terminal. All other commands open no file.
pub fn detach_keys(args: &[String]) -> Option<String> {
    if !args
        .iter()
        .any(|word| matches!(word.as_str(), "run" | "exec" | "attach" | "start" | "debug"))
        || !terminal::are_terminals()[0]
    {
        return None;
    }
    let path = directory(args)?.join(FILE);
    match read(&path) {
        Ok(config) => config.detach_keys.filter(|keys| !keys.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        // Like docker: print a warning and run the command.
        Err(error) => {
            eprintln!("WARNING: Error loading config file: {}: {error}", path.display());
            None
        }
    }
}

fn read(path: &Path) -> io::Result<Config> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

pub fn directory(args: &[String]) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    flag(args)
        .map(PathBuf::from)
        .or_else(|| set("DOCKER_CONFIG").map(PathBuf::from))
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".docker")))
}

/// Finds `--config DIR` or `--config=DIR` before the command's name.
fn flag(args: &[String]) -> Option<&str> {
    let mut words = args.iter();
    while let Some(word) = words.next().filter(|word| word.starts_with('-')) {
        if let Some(value) = word.strip_prefix("--config=") {
            return Some(value);
        }
        let value = if matches!(
            word.as_str(),
            "--config" | "-H" | "--host" | "-l" | "--log-level" | "-c" | "--context"
        ) {
            words.next()
        } else {
            None
        };
        if word == "--config" {
            return value.map(String::as_str);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_counts_only_before_the_command() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(flag(&words("-H unix:///a --config X run")), Some("X"));
        assert_eq!(flag(&words("-D --config=X/Y attach box")), Some("X/Y"));
        assert_eq!(flag(&words("run --config X")), None);
    }
}
