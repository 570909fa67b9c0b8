//! Subvolumes of btrfs by ioctl: create, snapshot, read-only, list, remove, flatten, usage, and quota groups.
//!
//! A container may make subvolumes in its own root without any capability, nest them to any depth, and make them read-only. So they are
//! found by the file system's own tree of roots and opened by their ids, never by a path.

mod flatten;
mod items;
mod quota;
mod raw;
mod remove;
mod touched;
mod usage;

pub use flatten::flatten;
pub use quota::{Quotas, enable_quotas, limit, quotas, remove_groups};
pub use remove::{list, remove, wait_until_gone};
pub use touched::Touched;
pub use usage::usage;

use crate::failure::{Code, Failure, Result};
use crate::sys::at;
use crate::tree::{Named, shown};
use raw::{READ_ONLY, VolumeArguments};
use serde::Serialize;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// BTRFS_SUPER_MAGIC, linux/magic.h
const MAGIC: u64 = 0x9123_683e;
/// BTRFS_FIRST_FREE_OBJECTID: the inode of every subvolume's root directory.
const ROOT_INODE: u64 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subvolume {
    pub id: u64,
    pub read_only: bool,
}

/// Makes an empty subvolume of root, mode 755, at the absolute `path`.
pub fn create(path: &[u8]) -> Result<()> {
    let (parent, name) = split(path)?;
    VolumeArguments::named(&name)?.run(parent.as_fd(), raw::SUBVOL_CREATE_V2, "ioctl(BTRFS_IOC_SUBVOL_CREATE_V2)", path)?;
    // The kernel applies the umask of the process.
    let made = at::open_directory(parent.as_fd(), &name).named("openat2", path)?;
    at::set_permissions_fd(made.as_fd(), 0o755).named("fchmod", path)
}

/// Makes a snapshot of the subvolume `from` at the absolute path `to`. It holds all that was written to `from` before.
pub fn snapshot(from: &[u8], to: &[u8], read_only: bool) -> Result<()> {
    let source = open(from)?;
    let (parent, name) = split(to)?;
    let mut arguments = VolumeArguments::named(&name)?;
    arguments.fd = source.as_raw_fd().into();
    arguments.flags = if read_only { READ_ONLY } else { 0 };
    arguments.run(parent.as_fd(), raw::SNAP_CREATE_V2, "ioctl(BTRFS_IOC_SNAP_CREATE_V2)", to)
}

pub fn describe(path: &[u8]) -> Result<Subvolume> {
    let fd = open(path)?;
    Ok(Subvolume {
        id: raw::id(fd.as_fd()).named("ioctl(BTRFS_IOC_INO_LOOKUP)", path)?,
        read_only: raw::flags(fd.as_fd()).named("ioctl(BTRFS_IOC_SUBVOL_GETFLAGS)", path)? & READ_ONLY != 0,
    })
}

pub fn set_read_only(path: &[u8], read_only: bool) -> Result<()> {
    change_read_only(open(path)?.as_fd(), read_only).named("ioctl(BTRFS_IOC_SUBVOL_SETFLAGS)", path)
}

fn change_read_only(subvolume: BorrowedFd, read_only: bool) -> std::io::Result<()> {
    let flags = raw::flags(subvolume)?;
    let wanted = if read_only { flags | READ_ONLY } else { flags & !READ_ONLY };
    match wanted == flags {
        true => Ok(()),
        false => raw::set_flags(subvolume, wanted),
    }
}

/// Opens the root directory of the subvolume at `path`; a link at the path's end is not followed.
fn open(path: &[u8]) -> Result<OwnedFd> {
    let fd = at::open_path(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW).named("open", path)?;
    on_btrfs(fd.as_fd(), path)?;
    match at::stat_fd(fd.as_fd()).named("stat", path)?.0.st_ino {
        ROOT_INODE => Ok(fd),
        _ => Err(Failure::new(
            Code::InvalidArgument,
            format!("{}: a directory, but no subvolume", shown(path)),
        )),
    }
}

/// Opens a directory of a btrfs, for what concerns the whole file system.
pub(crate) fn open_any(path: &[u8]) -> Result<OwnedFd> {
    let fd = at::open_path(path, libc::O_RDONLY | libc::O_DIRECTORY).named("open", path)?;
    on_btrfs(fd.as_fd(), path)?;
    Ok(fd)
}

fn on_btrfs(fd: BorrowedFd, path: &[u8]) -> Result<()> {
    match at::file_system(fd).named("fstatfs", path)? {
        MAGIC => Ok(()),
        _ => Err(Failure::new(Code::Unsupported, format!("{}: not on btrfs", shown(path)))),
    }
}

/// The parent directory and the name of an absolute path.
fn split(path: &[u8]) -> Result<(OwnedFd, CString)> {
    let cut = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let name = path.get(cut + 1..).unwrap_or_default();
    if !path.starts_with(b"/") || matches!(name, b"" | b"." | b"..") {
        let text = format!("{}: not an absolute path of a subvolume", shown(path));
        return Err(Failure::new(Code::InvalidArgument, text));
    }
    Ok((open_any(&path[..cut.max(1)])?, at::c_string(name).named("open", path)?))
}
