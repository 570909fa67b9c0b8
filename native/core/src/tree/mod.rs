//! File trees by descriptor: open below a root, list, copy, remove, measure, sync. The contents of a tree may be hostile; no function here
//! follows a link out of it.

pub mod btrfs;
mod cancel;
mod copy;
mod descent;
mod label;
mod list;
pub mod quota;
mod remove;
pub mod root;
mod usage;
mod walk;

pub use cancel::Cancel;
pub use copy::{copy_directory_attributes, copy_entry, copy_tree};
pub(crate) use descent::Descent;
pub use label::relabel;
pub use list::{list, sorted};
pub use remove::{empty, remove_at, remove_tree};
pub use usage::{Usage, usage};
pub(crate) use walk::walk;

use crate::failure::{Code, Failure, Result};
use crate::limits::LONGEST_PATH;
use crate::sys::Call;
use std::io;
use std::os::fd::BorrowedFd;

/// Adds the system call and the file's name, which may contain any bytes, to an I/O error.
pub trait Named<T> {
    fn named(self, syscall: &str, path: &[u8]) -> Result<T>;
}

impl<T> Named<T> for io::Result<T> {
    fn named(self, syscall: &str, path: &[u8]) -> Result<T> {
        self.map_err(|error| Failure::io(&error, syscall, Some(&shown(path))))
    }
}

/// Joins `path` and `name`; the root of a tree is the empty path.
pub fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(path.len() + 1 + name.len());
    joined.extend_from_slice(path);
    if !path.is_empty() {
        joined.push(b'/');
    }
    joined.extend_from_slice(name);
    joined
}

pub(crate) fn too_deep(path: &[u8]) -> Failure {
    let text = format!(
        "{}: directories are nested deeper than a path of {LONGEST_PATH} bytes can say; move or remove them",
        shown(path)
    );
    Failure::new(Code::InvalidArgument, text)
}

/// A name or path for a one-line message: a long one is cut, and control characters, which may affect a terminal, are escaped.
pub(crate) fn shown(path: &[u8]) -> String {
    const LONGEST: usize = 200;
    let (path, more) = match path.len() > LONGEST {
        true => (&path[..LONGEST], "..."),
        false => (path, ""),
    };
    let mut text = String::with_capacity(path.len());
    for character in String::from_utf8_lossy(path).chars() {
        match character.is_control() {
            true => text.extend(character.escape_default()),
            false => text.push(character),
        }
    }
    text + more
}

/// syncfs(2): when this returns, all data of `fd`'s file system is on disk. It also reports an error of an earlier write-back.
pub fn sync(fd: BorrowedFd) -> Result<()> {
    rustix::fs::syncfs(fd).call("syncfs", None)
}

#[cfg(test)]
mod tests;
