use super::{Cancel, Named, walk};
use crate::failure::Result;
use crate::sys::at;
use serde::Serialize;
use std::collections::HashSet;
use std::os::fd::BorrowedFd;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The allocated size on disk: holes count as zero, and a block counts completely.
    pub bytes: u64,
    pub inodes: u64,
}

/// The disk usage of the tree, its root included. A file with several names counts once; mounts below do not count.
pub fn usage(root: BorrowedFd, cancel: &Cancel) -> Result<Usage> {
    let mut sum = Usage::default();
    let mut seen = HashSet::new();
    let mut count = |stat: &at::Stat| {
        if stat.is_directory() || stat.0.st_nlink < 2 || seen.insert(stat.inode()) {
            sum.bytes += stat.0.st_blocks as u64 * 512;
            sum.inodes += 1;
        }
    };
    count(&at::stat_fd(root).named("stat", b"")?);
    walk(root, b"", cancel, &mut |found| {
        count(found.stat);
        Ok(())
    })?;
    Ok(sum)
}
