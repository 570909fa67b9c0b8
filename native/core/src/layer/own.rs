//! Entries that the engine itself makes in a container's tree as mount points: empty files and directories. They are no changes of the
//! container.

use crate::failure::Result;
use crate::sys::at;
use crate::tree::{Descent, Named, list};
use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

/// Paths below the root, without a leading slash.
#[derive(Default)]
pub struct Own(HashSet<Vec<u8>>);

impl Own {
    pub fn new(paths: &[String]) -> Self {
        Own(paths.iter().map(|path| path.trim_matches('/').as_bytes().to_vec()).collect())
    }

    /// Whether the engine made an entry that the lower tree lacks: its path is one of these, and it is an empty file, a link, or a
    /// directory that contains only such entries.
    pub fn is_ours(&self, directory: BorrowedFd, name: &CStr, path: &[u8], stat: &at::Stat) -> Result<bool> {
        if !self.0.contains(path) {
            return Ok(false);
        }
        match stat.kind() {
            libc::S_IFDIR => self.is_hollow(directory, name, path),
            _ => Ok(is_empty(stat)),
        }
    }

    /// Whether the engine made all entries of a directory.
    fn is_hollow(&self, directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<bool> {
        let child = match at::open_directory(directory, name) {
            Ok(child) => child,
            // A mount point.
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => return Ok(true),
            // The directory was removed meanwhile.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => return Ok(false),
            Err(error) => return Err(error).named("openat2", path),
        };
        let mut descent = Descent::new(child.as_fd(), path);
        let mut ahead = vec![list(child.as_fd()).named("getdents64", path)?.into_iter()];
        while let Some(names) = ahead.last_mut() {
            let Some(name) = names.next() else {
                ahead.pop();
                descent.leave()?;
                continue;
            };
            let here = descent.join(&name);
            let Some(stat) = at::find(descent.here(), &name).named("stat", &here)? else {
                continue;
            };
            // The depth is bounded by the longest of the paths.
            if !self.0.contains(&here) || !stat.is_directory() && !is_empty(&stat) {
                return Ok(false);
            }
            if !stat.is_directory() {
                continue;
            }
            match descent.open(&name) {
                Ok(child) => {
                    descent.enter(&name, child)?;
                    ahead.push(list(descent.here()).named("getdents64", &here)?.into_iter());
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {}
                Err(error) => return Err(error).named("openat2", &here),
            }
        }
        Ok(true)
    }
}

/// Whether an entry is a kind of file that the engine makes as a mount point.
fn is_empty(stat: &at::Stat) -> bool {
    match stat.kind() {
        libc::S_IFREG => stat.0.st_size == 0,
        libc::S_IFLNK => true,
        _ => false,
    }
}
