//! Makes the entry that a member describes, in a directory in which its name is unused.
//!
//! A process of the container may replace the new entry at any time. So owner, attributes and mode are set by descriptor: set by name,
//! an archive's set-user-ID bit or capability could be given to another file.

use super::deferred::DEFAULT_ACL;
use super::member::{Kind, Member};
use super::place::Place;
use super::reader::{Reader, about};
use crate::failure::{Code, Failure, Result};
use crate::sys::retry;
use crate::sys::{at, xattr};
use crate::tree::{Cancel, Named, shown};
use std::ffi::CStr;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, BorrowedFd};

pub fn file<R: BufRead>(reader: &mut Reader<R>, member: &Member, place: &Place, name: &CStr, cancel: &Cancel) -> Result<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let file = at::open(place.fd.as_fd(), name, flags, 0o600).named("openat", &member.name)?;
    let mut end = 0;
    reader.content(member, |offset, bytes| {
        cancel.check()?;
        end = offset + bytes.len() as u64;
        write_at(file.as_fd(), bytes, offset).named("pwrite", &member.name)
    })?;
    if end < member.size {
        at::truncate(file.as_fd(), member.size).named("ftruncate", &member.name)?;
    }
    // Most files belong to root, which has also made them.
    if member.uid != 0 || member.gid != 0 || place.gives_group {
        at::set_owner_fd(file.as_fd(), member.uid, member.gid).named("chown", &member.name)?;
    }
    attributes(member, file.as_fd())?;
    at::set_permissions_fd(file.as_fd(), member.mode).named("chmod", &member.name)?;
    at::set_times_fd(file.as_fd(), member.mtime).named("utimensat", &member.name)
}

/// Makes a symbolic link, a device or a fifo.
pub fn special(member: &Member, place: &Place, name: &CStr) -> Result<()> {
    let directory = place.fd.as_fd();
    match member.kind {
        Kind::Symlink => {
            let target = at::c_string(&member.link).named("symlink", &member.name)?;
            at::make_link(&target, directory, name).named("symlink", &member.name)?;
        }
        Kind::Fifo => at::make_node(directory, name, libc::S_IFIFO, 0).named("mknod", &member.name)?,
        kind => {
            let mode = if kind == Kind::Block { libc::S_IFBLK } else { libc::S_IFCHR };
            if kind == Kind::Character && member.device == (0, 0) {
                return Err(about(
                    member,
                    "the character device 0:0 is an overlay's whiteout, and no device that a layer may bring",
                ));
            }
            at::make_node(directory, name, mode, libc::makedev(member.device.0, member.device.1)).named("mknod", &member.name)?;
        }
    }
    let made = at::open(directory, name, libc::O_PATH, 0).named("openat", &member.name)?;
    let stat = at::stat_fd(made.as_fd()).named("stat", &member.name)?;
    if stat.kind() != kind_of(member.kind) {
        let text = format!("{}: it was replaced while it was created; try again", member.shown());
        return Err(Failure::new(Code::Conflict, text));
    }
    at::set_owner(made.as_fd(), c"", member.uid, member.gid).named("chown", &member.name)?;
    attributes(member, made.as_fd())?;
    if member.kind != Kind::Symlink {
        at::set_permissions_opened(made.as_fd(), member.mode).named("chmod", &member.name)?;
    }
    at::set_times(made.as_fd(), c"", member.mtime).named("utimensat", &member.name)
}

fn kind_of(kind: Kind) -> u32 {
    match kind {
        Kind::Symlink => libc::S_IFLNK,
        Kind::Fifo => libc::S_IFIFO,
        Kind::Block => libc::S_IFBLK,
        _ => libc::S_IFCHR,
    }
}

/// Sets owner, attributes and mode of an existing directory, and removes attributes that the member does not have. Times and the default
/// ACL are set after all members.
pub fn directory(member: &Member, place: &Place, name: &CStr, is_new: bool) -> Result<()> {
    let own = if name.is_empty() { c"." } else { name };
    let directory = at::open(place.fd.as_fd(), own, libc::O_PATH | libc::O_DIRECTORY, 0).named("openat", &member.name)?;
    let directory = directory.as_fd();
    at::set_owner(directory, c"", member.uid, member.gid).named("chown", &member.name)?;
    if !is_new {
        for (key, _) in xattr::all(directory, c"").named("listxattr", &member.name)? {
            let stays = xattr::is_private(&key) || key.starts_with(b"security.") && key != b"security.capability";
            if !stays && !member.attributes.iter().any(|attribute| attribute.0 == key) {
                xattr::remove(directory, c"", &key).named("removexattr", &member.name)?;
            }
        }
    }
    attributes(member, directory)?;
    at::set_permissions_opened(directory, member.mode).named("chmod", &member.name)
}

/// `made`: the entry, opened with any flags.
fn attributes(member: &Member, made: BorrowedFd) -> Result<()> {
    for (key, value) in &member.attributes {
        if xattr::is_private(key) || key == DEFAULT_ACL {
            continue;
        }
        match xattr::set_opened(made, key, value) {
            // Some file systems do not support user attributes (tmpfs before Linux 6.6), and no kernel supports them for links and devices.
            Err(error) if key.starts_with(b"user.") && matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EPERM)) => {}
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                let text = format!("its attribute {} is none that the file system here has", shown(key));
                return Err(about(member, &text));
            }
            // ext4 returns the same error for a full disk and for attributes that don't fit into a block.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && at::has_room(made) => {
                let text = format!("its attribute {} is larger than the file system here takes", shown(key));
                return Err(about(member, &text));
            }
            other => other.named("setxattr", &member.name)?,
        }
    }
    Ok(())
}

fn write_at(fd: BorrowedFd, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = retry(|| rustix::io::pwrite(fd, bytes, offset))?;
        bytes = &bytes[count..];
        offset += count as u64;
    }
    Ok(())
}
