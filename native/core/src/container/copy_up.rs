//! `tmpcopyup`: copies an image's directory into the tmpfs that is mounted over it. Every step uses descriptors and follows no link.

use crate::failure::Result;
use crate::sys::at::Stat;
use crate::sys::{self, Call, at};
use crate::tree::list;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

pub fn copy(from: BorrowedFd, to: BorrowedFd) -> Result<()> {
    adopt(from, to)?;
    for name in names(from)? {
        let shown = name.to_string_lossy().into_owned();
        let stat = at::stat(from, &name).call("stat", Some(&shown))?;
        match stat.kind() {
            libc::S_IFDIR => {
                at::make_directory(to, &name, 0o700).call("mkdir", Some(&shown))?;
                let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
                copy(sys::open_at(from, &shown, flags)?.as_fd(), sys::open_at(to, &shown, flags)?.as_fd())?;
            }
            libc::S_IFREG => copy_file(from, to, &shown)?,
            libc::S_IFLNK => copy_link(from, to, &name, &stat)?,
            // A node, socket or pipe has no content, and a tmpfs for temporary data needs none.
            _ => {}
        }
    }
    Ok(())
}

fn copy_file(from: BorrowedFd, to: BorrowedFd, name: &str) -> Result<()> {
    let source = sys::open_at(from, name, libc::O_RDONLY | libc::O_NOFOLLOW)?;
    let made = sys::open_at(to, name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW)?;
    while rustix::fs::sendfile(&made, &source, None, 1 << 20).call("sendfile", Some(name))? > 0 {}
    adopt(source.as_fd(), made.as_fd())
}

fn copy_link(from: BorrowedFd, to: BorrowedFd, name: &CStr, stat: &Stat) -> Result<()> {
    let target = CString::new(at::read_link(from, name).call("readlink", None)?).unwrap_or_default();
    at::make_link(&target, to, name).call("symlink", None)?;
    at::set_owner(to, name, stat.0.st_uid, stat.0.st_gid).call("chown", None)
}

/// Sets the owner, then the mode, since chown clears the set-id bits.
fn adopt(from: BorrowedFd, to: BorrowedFd) -> Result<()> {
    let stat = at::stat_fd(from).call("fstat", None)?;
    // A mount's own descriptor is O_PATH, which fchown and fchmod refuse.
    at::set_owner(to, c"", stat.0.st_uid, stat.0.st_gid).call("chown", None)?;
    if at::set_permissions_fd(to, stat.permissions()).is_err() {
        let again = sys::open_at(to, ".", libc::O_RDONLY | libc::O_DIRECTORY)?;
        at::set_permissions_fd(again.as_fd(), stat.permissions()).call("chmod", None)?;
    }
    Ok(())
}

fn names(directory: BorrowedFd) -> Result<Vec<CString>> {
    let opened = sys::open_at(directory, ".", libc::O_RDONLY | libc::O_DIRECTORY)?;
    list(opened.as_fd()).call("getdents", None)
}
