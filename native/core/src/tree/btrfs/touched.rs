use super::items::{self, INODE_ITEM};
use super::raw::{self, Key, number};
use super::{ROOT_INODE, on_btrfs};
use crate::failure::Result;
use crate::sys::at;
use crate::tree::{Cancel, Named};
use std::collections::HashSet;
use std::os::fd::BorrowedFd;

/// With more of them, a comparison of all files is about as fast, and needs no memory for them.
const MOST: usize = 1 << 20;

/// What may differ in a snapshot from its origin, by inode: files that were changed since, and all directories above them.
///
/// A snapshot has the inodes of its origin. A change of a file changes its inode's item, and whoever adds, removes or renames an entry
/// changes the item of the directory. So any other file is the same at the same place, and any other directory is, with all below it.
pub struct Touched {
    inodes: HashSet<u64>,
    /// The devices of both subvolumes: subvolumes inside have inodes of their own.
    lower: u64,
    upper: u64,
}

impl Touched {
    /// None: everything may differ, because the upper subvolume is no snapshot, or because too much was changed. What is not on disk yet is
    /// not seen: sync the file system first.
    pub fn of(lower: BorrowedFd, upper: BorrowedFd, cancel: &Cancel) -> Result<Option<Touched>> {
        on_btrfs(upper, b"")?;
        let [lower_root, upper_root] = [at::stat_fd(lower).named("stat", b"")?, at::stat_fd(upper).named("stat", b"")?];
        let id = raw::id(upper).named("ioctl(BTRFS_IOC_INO_LOOKUP)", b"")?;
        let since = items::since(upper, id)?.unwrap_or(0);
        if since == 0 || [lower_root, upper_root].iter().any(|root| root.0.st_ino != ROOT_INODE) {
            return Ok(None);
        }
        let Some(changed) = changed(upper, id, since, cancel)? else {
            return Ok(None);
        };
        let mut touched = Touched {
            inodes: HashSet::new(),
            lower: lower_root.0.st_dev,
            upper: upper_root.0.st_dev,
        };
        touched.add(upper, id, changed, cancel)?;
        Ok(Some(touched))
    }

    /// With other files of the upper tree, by device and inode, and all directories above each of their names.
    pub fn with(&self, upper: BorrowedFd, files: &HashSet<(u64, u64)>, cancel: &Cancel) -> Result<Touched> {
        let id = raw::id(upper).named("ioctl(BTRFS_IOC_INO_LOOKUP)", b"")?;
        let mut more = Touched {
            inodes: self.inodes.clone(),
            ..*self
        };
        let inside = files.iter().filter(|(device, _)| *device == self.upper);
        more.add(upper, id, inside.map(|(_, inode)| *inode).collect(), cancel)?;
        Ok(more)
    }

    fn add(&mut self, upper: BorrowedFd, id: u64, mut ahead: Vec<u64>, cancel: &Cancel) -> Result<()> {
        while let Some(inode) = ahead.pop() {
            cancel.check()?;
            if self.inodes.insert(inode) && inode != ROOT_INODE {
                parents(upper, id, inode, &mut ahead)?;
            }
        }
        Ok(())
    }

    /// Whether an entry, and everything below it, is the same in both trees, which have it at the same path.
    pub fn spares(&self, lower: &at::Stat, upper: &at::Stat) -> bool {
        lower.inode() == (self.lower, upper.0.st_ino) && upper.0.st_dev == self.upper && !self.inodes.contains(&upper.0.st_ino)
    }
}

/// The inodes that were changed since a transaction.
fn changed(any: BorrowedFd, id: u64, since: u64, cancel: &Cancel) -> Result<Option<Vec<u64>>> {
    let mut found = Vec::new();
    let first = Key {
        object: ROOT_INODE,
        kind: 0,
        offset: 0,
    };
    let last = Key {
        object: u64::MAX,
        kind: u32::MAX,
        offset: u64::MAX,
    };
    raw::search(any, id, first, last, since, &mut |key, data| {
        const CHANGED_IN: usize = 8;
        if key.kind == INODE_ITEM && number(data, CHANGED_IN) >= since {
            cancel.check()?;
            found.push(key.object);
        }
        Ok(found.len() <= MOST)
    })?;
    Ok((found.len() <= MOST).then_some(found))
}

/// The directories of an inode: several, if it has several names.
fn parents(any: BorrowedFd, id: u64, inode: u64, into: &mut Vec<u64>) -> Result<()> {
    const INODE_REF: u32 = 12;
    const INODE_EXTREF: u32 = 13;
    let first = Key {
        object: inode,
        kind: INODE_REF,
        offset: 0,
    };
    let last = Key {
        object: inode,
        kind: INODE_EXTREF,
        offset: u64::MAX,
    };
    raw::search(any, id, first, last, 0, &mut |key, data| {
        into.push(if key.kind == INODE_REF { key.offset } else { number(data, 0) });
        Ok(true)
    })
}
