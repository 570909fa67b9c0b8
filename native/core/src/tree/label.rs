//! SELinux labels of files.

use super::{Cancel, Named, walk};
use crate::failure::Result;
use crate::sys::{at, xattr};
use std::io;
use std::os::fd::AsFd;

const KEY: &[u8] = b"security.selinux";

/// Labels the file, or the tree, at `path`. Links in the tree get the label themselves; mounts in the tree keep their own. A file system
/// without labels is no error.
pub fn relabel(path: &[u8], label: &str, cancel: &Cancel) -> Result<()> {
    let top = at::open_path(path, libc::O_PATH).named("open", path)?;
    if at::stat_fd(top.as_fd()).named("stat", path)?.is_directory() {
        let directory = at::open_directory(top.as_fd(), c".").named("open", path)?;
        walk(directory.as_fd(), path, cancel, &mut |found| {
            needed(xattr::set(found.directory, found.name, KEY, label.as_bytes())).named("lsetxattr", found.path)
        })?;
    }
    needed(xattr::set_opened(top.as_fd(), KEY, label.as_bytes())).named("setxattr", path)
}

/// Ignores failures after which nothing is left to do.
fn needed(set: io::Result<()>) -> io::Result<()> {
    match set {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOENT)) => Ok(()),
        other => other,
    }
}
