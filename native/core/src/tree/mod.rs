//! File trees by descriptor: open below a root, list, copy, remove, weigh, sync. What lies in a tree may be hostile; nothing here follows a
//! link out of it.

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
pub use copy::{copy_entry, copy_tree};
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

/// Gives an I/O error its system call and the file's name, which may be any bytes.
pub trait Named<T> {
    fn named(self, syscall: &str, path: &[u8]) -> Result<T>;
}

impl<T> Named<T> for io::Result<T> {
    fn named(self, syscall: &str, path: &[u8]) -> Result<T> {
        self.map_err(|error| Failure::io(&error, syscall, Some(&shown(path))))
    }
}

/// `path` and `name` joined; the root of a tree is the empty path.
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

/// A name or path for a message, which is one line: long ones are cut, and control characters, which may mean something to a terminal, are
/// escaped.
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

/// syncfs(2): all that was written to the file system of `fd` is on disk when this answers, and an error of an earlier write-back is told.
pub fn sync(fd: BorrowedFd) -> Result<()> {
    rustix::fs::syncfs(fd).call("syncfs", None)
}

#[cfg(test)]
mod tests;
