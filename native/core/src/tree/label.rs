//! SELinux labels of files.

use super::{Cancel, DEEPEST, Named, at, join, list, too_deep, xattr};
use crate::failure::Result;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Gives the file, or the tree, at `path` a label; links get it themselves, what is mounted below keeps its own. The top comes last: who has the label has it all the way down.
/// A file system that keeps no labels is no error.
pub fn relabel(path: &[u8], label: &str, cancel: &Cancel) -> Result<()> {
    let top = at::open_path(path, libc::O_PATH).named("open", path)?;
    let label = Label { value: label, cancel };
    if !at::stat_fd(top.as_fd()).named("stat", path)?.is_directory() {
        return match xattr::set_opened(top.as_fd(), KEY, label.value.as_bytes()) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
            other => other.named("setxattr", path),
        };
    }
    let directory = at::open_directory(top.as_fd(), c".").named("open", path)?;
    label.walk(directory.as_fd(), path, 0)?;
    label.set(directory.as_fd(), c"", path)
}

const KEY: &[u8] = b"security.selinux";

struct Label<'a> {
    value: &'a str,
    cancel: &'a Cancel,
}

impl Label<'_> {
    fn walk(&self, directory: BorrowedFd, path: &[u8], depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(too_deep(path));
        }
        self.cancel.check()?;
        for name in list(directory).named("getdents64", path)? {
            let here = join(path, name.to_bytes());
            let Some(stat) = at::find(directory, &name).named("stat", &here)? else {
                continue;
            };
            if stat.is_directory() {
                match at::open_directory(directory, &name) {
                    Ok(child) => self.walk(child.as_fd(), &here, depth + 1)?,
                    // Another mount, or gone.
                    Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::ENOENT)) => continue,
                    Err(error) => return Err(error).named("openat2", &here),
                }
            }
            self.set(directory, &name, &here)?;
        }
        Ok(())
    }

    fn set(&self, directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<()> {
        let gone = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOENT));
        match xattr::set(directory, name, KEY, self.value.as_bytes()) {
            Err(error) if !gone(&error) => Err(error).named("lsetxattr", path),
            _ => Ok(()),
        }
    }
}
