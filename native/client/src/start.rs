//! Starts this host's engine if none runs: once, in a clean environment, with a message.

use rustix::fs::Mode;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tsbox_core::peer::{address, unit};
use tsbox_core::sys::{lock, signals};

/// How long a client waits for another one that is starting the engine. A start takes a second, or up to twenty on a host that has just
/// booted.
const OTHER_START: Duration = Duration::from_secs(60);

/// Returns a connection to the engine, which this client or meanwhile another one has started. `http`: the address that the engine listens
/// on, if it is not the default.
pub fn engine(state: &Path, http: Option<&Path>, refused: &io::Error) -> Result<UnixStream, String> {
    let socket = &state.join(address::LAUNCHER);
    if refused.kind() == io::ErrorKind::PermissionDenied {
        return Err(format!(
            "permission denied on {}: run tsbox as root, or join the group tsbox (which is as good as root)",
            socket.display()
        ));
    }
    if !rustix::process::geteuid().is_root() {
        return Err("no engine runs on this host, and only root can start one: try `sudo tsbox …`, or `systemctl start tsbox`".to_owned());
    }
    let lock = lock(state, OTHER_START)?;
    // The process that held the lock before may have started the engine.
    if let Ok(stream) = address::connect(socket) {
        return Ok(stream);
    }
    if unit::starts(state, state == Path::new(crate::DEFAULT_STATE)) {
        eprintln!("tsbox: starting the engine (systemctl start tsbox)");
        unit::start()?;
    } else {
        eprintln!("tsbox: starting the engine (stop it with `tsbox daemon stop`)");
        start(state, http)?;
    }
    drop(lock);
    address::connect(socket).map_err(|error| {
        format!(
            "the engine does not listen on {}: {error}; see {}/daemon.log",
            socket.display(),
            state.display()
        )
    })
}

/// Takes an exclusive lock, so that several clients do not start the engine at once. Closing the descriptor releases it.
fn lock(state: &Path, within: Duration) -> Result<File, String> {
    let path = state.join("start.lock");
    let open = || {
        fs::DirBuilder::new().recursive(true).mode(0o711).create(state)?;
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_CLOEXEC)
            .open(&path)
    };
    let file = open().map_err(|error| format!("can't make {}: {error}", path.display()))?;
    match lock::exclusive(&file, &path, within) {
        Ok(()) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(format!(
            "another command is starting the engine and does not finish: {error}; see {}/daemon.log, end that process, and try again",
            state.display()
        )),
        Err(error) => Err(format!("can't lock {}: {error}", path.display())),
    }
}

/// Starts `tsbox daemon --background` and waits until it listens: the launcher then closes its standard output. If it fails, it writes the
/// reason there.
fn start(state: &Path, http: Option<&Path>) -> Result<(), String> {
    let binary = std::env::current_exe().map_err(|error| format!("can't find my own binary: {error}"))?;
    let mut command = Command::new(binary);
    command
        .args(["daemon", "--background", "--state"])
        .arg(state)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(http) = http {
        let mut url = OsString::from("unix://");
        url.push(http);
        command.arg("--host").arg(url);
    }
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for (name, value) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("TSBOX_") && name != crate::Settings::STATE)
        {
            command.env(name, value);
        }
    }
    // SAFETY: setsid and signal-mask calls are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            let _ = rustix::process::setsid();
            signals::unblock_all();
            rustix::process::umask(Mode::from_raw_mode(0o022));
            Ok(())
        });
    }
    let mut child = command.spawn().map_err(|error| format!("can't start the engine: {error}"))?;
    let mut words = String::new();
    if let Some(mut output) = child.stdout.take() {
        let _ = output.read_to_string(&mut words);
    }
    if words.is_empty() {
        Ok(())
    } else {
        Err(words.trim().trim_start_matches("tsbox: ").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_another_clients_start_times_out_with_advice() {
        let state = std::env::temp_dir().join(format!("tsbox-start-{}", std::process::id()));
        let silent = lock(&state, Duration::ZERO).unwrap();
        let why = lock(&state, Duration::from_millis(20)).unwrap_err();
        for part in ["another command is starting the engine", "start.lock", "daemon.log", "try again"] {
            assert!(why.contains(part), "{part} is missing in: {why}");
        }
        assert!(!why.contains('\n'), "{why}");
        drop(silent);
        lock(&state, Duration::ZERO).unwrap();
        fs::remove_dir_all(&state).unwrap();
    }
}
