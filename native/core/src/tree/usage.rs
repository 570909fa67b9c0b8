use super::{Cancel, DEEPEST, Named, at, join, list, too_deep};
use crate::failure::Result;
use serde::Serialize;
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Allocated on disk: holes cost nothing, and a block counts whole.
    pub bytes: u64,
    pub inodes: u64,
}

/// What the tree takes, its root included; a file with several names counts once, what is mounted below does not count.
pub fn usage(root: BorrowedFd, cancel: &Cancel) -> Result<Usage> {
    let mut sum = Sum {
        usage: Usage::default(),
        seen: HashSet::new(),
        cancel,
    };
    sum.count(&at::stat_fd(root).named("stat", b"")?);
    sum.walk(root, b"", 0)?;
    Ok(sum.usage)
}

struct Sum<'a> {
    usage: Usage,
    seen: HashSet<(u64, u64)>,
    cancel: &'a Cancel,
}

impl Sum<'_> {
    fn count(&mut self, stat: &at::Stat) {
        if stat.is_directory() || stat.0.st_nlink < 2 || self.seen.insert(stat.inode()) {
            self.usage.bytes += stat.0.st_blocks as u64 * 512;
            self.usage.inodes += 1;
        }
    }

    fn walk(&mut self, directory: BorrowedFd, path: &[u8], depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(too_deep(path));
        }
        self.cancel.check()?;
        for name in list(directory).named("getdents64", path)? {
            let here = join(path, name.to_bytes());
            let Some(stat) = at::find(directory, &name).named("stat", &here)? else {
                continue;
            };
            self.count(&stat);
            if stat.is_directory() {
                match at::open_directory(directory, &name) {
                    Ok(child) => self.walk(child.as_fd(), &here, depth + 1)?,
                    Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::ENOENT)) => {}
                    Err(error) => return Err(error).named("openat2", &here),
                }
            }
        }
        Ok(())
    }
}
