//! The exit status on disk: written before anybody is told, so that no death of launcher or daemon loses it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tsbox_core::protocol::Exit;

/// From a status of waitpid(2).
pub fn exit(status: i32, out_of_memory: bool) -> Exit {
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    Exit {
        code: signal.map_or_else(|| libc::WEXITSTATUS(status), |signal| 128 + signal),
        signal,
        out_of_memory,
        at: now(),
    }
}

/// Milliseconds since the epoch.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_micros() as f64 / 1000.0)
}

/// Whole or not at all: a new file, then a rename.
pub fn write(directory: &Path, exit: &Exit) -> io::Result<()> {
    let fresh = directory.join("exit.new");
    fs::write(&fresh, serde_json::to_vec(exit)?)?;
    fs::rename(fresh, directory.join("exit"))
}

pub fn read(directory: &Path) -> Option<Exit> {
    serde_json::from_slice(&fs::read(directory.join("exit")).ok()?).ok()
}
