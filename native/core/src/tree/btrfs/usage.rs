use super::items::{self, EXTENT_DATA, INODE_ITEM};
use super::raw::{self, Key, number};
use super::{open, remove};
use crate::failure::{Code, Failure, Result};
use crate::tree::{Cancel, Named, Usage, shown};
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

/// The extents that are remembered at once, so that one that several files share counts once. Beyond that, extents that files far from each
/// other share may count twice.
const REMEMBERED: usize = 1 << 20;

/// The space that is a subvolume's own, and that of the subvolumes in it. What a snapshot shares with its origin does not count, and what
/// is not on disk yet does not either: sync the file system first.
pub fn usage(path: &[u8], cancel: &Cancel) -> Result<Usage> {
    let fd = open(path)?;
    let top = raw::id(fd.as_fd()).named("ioctl(BTRFS_IOC_INO_LOOKUP)", path)?;
    let mut sum = Usage::default();
    let mut seen = HashSet::new();
    for id in remove::below(fd.as_fd(), top, usize::MAX, cancel)? {
        match count(fd.as_fd(), id, &mut sum, &mut seen, cancel) {
            // A container may remove its own subvolumes meanwhile.
            Err(failure) if id != top && items::is_gone(&failure) => {}
            other => other?,
        }
    }
    match sum.inodes {
        0 => Err(Failure::new(Code::NotFound, format!("{}: the subvolume is gone", shown(path)))),
        _ => Ok(sum),
    }
}

fn count(any: BorrowedFd, id: u64, sum: &mut Usage, seen: &mut HashSet<u64>, cancel: &Cancel) -> Result<()> {
    let Some(since) = items::since(any, id)? else { return Ok(()) };
    // Its root directory is always its own.
    sum.inodes += 1;
    let first = Key {
        object: 0,
        kind: 0,
        offset: 0,
    };
    let last = Key {
        object: u64::MAX,
        kind: u32::MAX,
        offset: u64::MAX,
    };
    raw::search(any, id, first, last, since, &mut |key, data| {
        const GENERATION: usize = 0;
        let own = number(data, GENERATION) >= since;
        match key.kind {
            INODE_ITEM if own && key.object != super::ROOT_INODE => {
                cancel.check()?;
                sum.inodes += 1;
            }
            EXTENT_DATA if own => sum.bytes += bytes_of(data, seen),
            _ => {}
        }
        Ok(true)
    })
}

/// The bytes that an extent has on disk, unless it was counted before.
fn bytes_of(data: &[u8], seen: &mut HashSet<u64>) -> u64 {
    const KIND: usize = 20;
    const INLINE: u8 = 0;
    const BODY: usize = 21;
    const LENGTH: usize = 29;
    if data.get(KIND) == Some(&INLINE) {
        return (data.len() - BODY) as u64;
    }
    if seen.len() == REMEMBERED {
        seen.clear();
    }
    match number(data, BODY) {
        // A hole.
        0 => 0,
        place => match seen.insert(place) {
            true => number(data, LENGTH),
            false => 0,
        },
    }
}
