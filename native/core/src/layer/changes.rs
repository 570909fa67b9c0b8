//! Compares an entry in two trees.

use crate::failure::Result;
use crate::sys::{at, xattr};
use crate::tree::Named;
use std::ffi::CStr;
use std::io::Read;
use std::os::fd::BorrowedFd;

/// The entries of one name in two trees.
pub struct Pair<'a> {
    pub lower: (BorrowedFd<'a>, at::Stat),
    pub upper: (BorrowedFd<'a>, at::Stat),
    pub name: &'a CStr,
    pub path: &'a [u8],
}

impl Pair<'_> {
    /// Compares kind, mode, owner, device, size, time, link target and attributes; also the content if the times are not conclusive.
    pub fn differs(&self) -> Result<bool> {
        let (lower, upper) = (&self.lower.1, &self.upper.1);
        if lower.0.st_mode != upper.0.st_mode || (lower.0.st_uid, lower.0.st_gid) != (upper.0.st_uid, upper.0.st_gid) {
            return Ok(true);
        }
        let kind = upper.kind();
        // A directory's time changes whenever an entry is added or removed, which counts as a change of the directory, too.
        if lower.mtime() != upper.mtime() || self.attributes_differ()? {
            return Ok(true);
        }
        match kind {
            libc::S_IFREG => Ok(lower.0.st_size != upper.0.st_size || self.content_differs()?),
            libc::S_IFLNK => {
                let target = |directory| at::read_link(directory, self.name).named("readlink", self.path);
                Ok(target(self.lower.0)? != target(self.upper.0)?)
            }
            libc::S_IFCHR | libc::S_IFBLK => Ok(lower.0.st_rdev != upper.0.st_rdev),
            _ => Ok(false),
        }
    }

    /// An entry that was removed meanwhile counts as changed.
    pub fn differs_or_went(&self) -> Result<bool> {
        match self.differs() {
            Err(failure) if failure.is_gone() => Ok(true),
            other => other,
        }
    }

    fn attributes_differ(&self) -> Result<bool> {
        let of = |directory| {
            let all = xattr::all(directory, self.name).named("listxattr", self.path);
            all.map(|mut all| {
                all.retain(|(key, _)| !xattr::is_private(key));
                all
            })
        };
        Ok(of(self.lower.0)? != of(self.upper.0)?)
    }

    /// Two files with the same time in nanoseconds are the same. A time in whole seconds came from an archive or a tool, and proves
    /// nothing.
    fn content_differs(&self) -> Result<bool> {
        let (lower, upper) = (&self.lower.1, &self.upper.1);
        if lower.inode() == upper.inode() || upper.mtime().nanoseconds != 0 || upper.0.st_size == 0 {
            return Ok(false);
        }
        let open = |directory| at::open_file(directory, self.name).named("openat", self.path);
        let (mut left, mut right) = (std::fs::File::from(open(self.lower.0)?), std::fs::File::from(open(self.upper.0)?));
        let (mut ours, mut theirs) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        loop {
            let count = left.read(&mut ours).named("read", self.path)?;
            if count == 0 {
                return Ok(false);
            }
            if right.read_exact(&mut theirs[..count]).is_err() || ours[..count] != theirs[..count] {
                return Ok(true);
            }
        }
    }
}
