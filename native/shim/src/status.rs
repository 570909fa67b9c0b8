//! The exit status in the state directory. It is written before it is reported, so that no death of launcher or daemon loses it. When there
//! is no room, it is reported first and written when there is room.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tsbox_core::peer::protocol::Exit;

/// Converts a status of waitpid(2).
pub fn exit(status: i32, out_of_memory: bool) -> Exit {
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    Exit {
        code: signal.map_or_else(|| libc::WEXITSTATUS(status), |signal| 128 + signal),
        signal,
        out_of_memory,
        at: now(),
        unknown: false,
    }
}

/// The end of a process whose status only its format knows. 255 stands for it until then.
pub fn unknown(out_of_memory: bool) -> Exit {
    Exit {
        unknown: true,
        ..exit(255 << 8, out_of_memory)
    }
}

/// Milliseconds since the epoch.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_micros() as f64 / 1000.0)
}

/// Writes a new file and renames it, so that readers see all of it or nothing.
pub fn write(directory: &Path, exit: &Exit) -> io::Result<()> {
    let fresh = directory.join("exit.new");
    fs::write(&fresh, serde_json::to_vec(exit)?)?;
    fs::rename(fresh, directory.join("exit"))
}

/// A status for which the state directory has no room yet.
pub struct Unwritten {
    exit: Exit,
    directory: PathBuf,
    /// The inode of `shim.sock`: another inode belongs to a later start of the same container.
    socket: Option<u64>,
}

/// Writes the status. If that fails, returns the status to be written again.
pub fn keep(directory: &Path, exit: &Exit) -> Option<Unwritten> {
    write(directory, exit).err()?;
    let unwritten = Unwritten {
        exit: exit.clone(),
        directory: directory.to_owned(),
        socket: socket_in(directory),
    };
    // Without its directory the container is removed.
    unwritten.socket.is_some().then_some(unwritten)
}

impl Unwritten {
    /// Returns true if nothing is left to do: the status is written, or the directory belongs to a later start or is gone.
    pub fn try_again(&self) -> bool {
        socket_in(&self.directory) != self.socket || write(&self.directory, &self.exit).is_ok()
    }
}

fn socket_in(directory: &Path) -> Option<u64> {
    Some(fs::symlink_metadata(directory.join("shim.sock")).ok()?.ino())
}

pub fn read(directory: &Path) -> Option<Exit> {
    serde_json::from_slice(&fs::read(directory.join("exit")).ok()?).ok()
}
