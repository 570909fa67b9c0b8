//! The addresses of an engine: the names of its sockets, paths that are longer than a socket's address may be, and the identity of a
//! socket.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The launcher's socket in a state directory.
pub const LAUNCHER: &str = "launcher.sock";

/// sun_path of unix(7), without its final NUL.
const LONGEST: usize = 107;

/// The identity of a file, whatever its name: a socket that replaces another one has another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub device: u64,
    pub inode: u64,
}

/// The address of a file; None if it does not exist. A link is not followed.
pub fn of(path: &Path) -> Option<Address> {
    let there = fs::symlink_metadata(path).ok()?;
    Some(Address {
        device: there.dev(),
        inode: there.ino(),
    })
}

/// The address of a link's target.
pub fn behind(path: &Path) -> Option<Address> {
    let there = fs::metadata(path).ok()?;
    Some(Address {
        device: there.dev(),
        inode: there.ino(),
    })
}

/// The link to the launcher's socket of the engine whose HTTP socket is `X.sock`: `X.launcher.sock`.
pub fn link(http: &Path) -> PathBuf {
    let name = http.file_name().unwrap_or_default().as_bytes();
    let stem = name.strip_suffix(b".sock").unwrap_or(name);
    http.with_file_name(std::ffi::OsStr::from_bytes(&[stem, b".launcher.sock"].concat()))
}

/// Calls connect(2) with a path of any length.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() <= LONGEST {
        return UnixStream::connect(path);
    }
    let (_folder, short) = through_folder(path)?;
    UnixStream::connect(short)
}

/// A short path to the same file, which is valid while the folder's descriptor is open.
pub fn through_folder(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no name of a file"))?;
    let folder = File::open(
        path.parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new(".")),
    )?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    if short.as_os_str().len() > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a socket's name has at most 80 characters",
        ));
    }
    Ok((folder, short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_named_after_the_http_socket() {
        assert_eq!(link(Path::new("/run/a.sock")), Path::new("/run/a.launcher.sock"));
        assert_eq!(link(Path::new("/run/engine")), Path::new("/run/engine.launcher.sock"));
    }
}
