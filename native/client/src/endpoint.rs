//! Which engine a command is for: `-H`/`--host`, then TSBOX_HOST, then DOCKER_HOST, then this host's own.

use std::path::PathBuf;

pub const DEFAULT_STATE: &str = "/run/tsbox";

/// How an engine is told where to keep things: flags of `tsbox daemon`, each with an environment variable.
pub struct Settings;

impl Settings {
    pub const ROOT: &'static str = "TSBOX_ROOT";
    pub const STATE: &'static str = "TSBOX_STATE";
    pub const HOST: &'static str = "TSBOX_HOST";
    pub const CONFIG: &'static str = "TSBOX_CONFIG";
}

pub enum Endpoint {
    /// `ours`: an engine may be started there.
    Launcher {
        socket: PathBuf,
        ours: bool,
    },
    Remote,
}

/// The launcher's socket lies beside the HTTP socket.
pub fn choose(args: &[String]) -> Result<Endpoint, String> {
    let state = variable(Settings::STATE).unwrap_or_else(|| DEFAULT_STATE.to_owned());
    let ours = PathBuf::from(&state).join("launcher.sock");
    let Some(host) = flag(args).or_else(|| variable(Settings::HOST)).or_else(|| variable("DOCKER_HOST")) else {
        return Ok(Endpoint::Launcher { socket: ours, ours: true });
    };
    let Some(path) = host.strip_prefix("unix://") else {
        return if host.contains("://") {
            Ok(Endpoint::Remote)
        } else {
            Err(format!("invalid host \"{host}\": give unix:///PATH, tcp://HOST:PORT or ssh://HOST"))
        };
    };
    let socket = PathBuf::from(path)
        .parent()
        .map(|folder| folder.join("launcher.sock"))
        .ok_or_else(|| format!("invalid host \"{host}\""))?;
    Ok(Endpoint::Launcher {
        ours: socket == ours,
        socket,
    })
}

/// `-H URL`, `-HURL`, `--host URL`, `--host=URL` before the command's name.
fn flag(args: &[String]) -> Option<String> {
    let mut at = 0;
    while let Some(word) = args.get(at).filter(|word| word.starts_with('-')) {
        if word == "-H" || word == "--host" {
            return args.get(at + 1).cloned();
        }
        if let Some(value) = word.strip_prefix("--host=").or_else(|| word.strip_prefix("-H")) {
            return Some(value.to_owned());
        }
        at += if matches!(word.as_str(), "--config" | "-l" | "--log-level" | "-c" | "--context") {
            2
        } else {
            1
        };
    }
    None
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
    fn the_flag_counts_only_before_the_command() {
        assert_eq!(flag(&words("-H unix:///a ps")), Some("unix:///a".into()));
        assert_eq!(flag(&words("--config X --host=tcp://h:1 ps")), Some("tcp://h:1".into()));
        assert_eq!(flag(&words("run -H x")), None);
    }
}
