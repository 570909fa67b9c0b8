use super::items::{self, Life, children, life};
use super::{open, raw};
use crate::failure::{Code, Failure, Result};
use crate::tree::{Cancel, Named, shown};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// The subvolumes that are asked for at once below one of them.
const PAGE: usize = 256;
/// Between two looks at whether the kernel has freed a subvolume.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Until the thread that frees subvolumes is woken again: it passes by what was in use then.
const WAKE_AGAIN: Duration = Duration::from_millis(500);

/// The ids of the subvolume at `path` and of those below it, each before its parent, at most `most`: so the last one is that of `path`,
/// unless there are more.
pub fn list(path: &[u8], most: usize, cancel: &Cancel) -> Result<Vec<u64>> {
    let fd = open(path)?;
    let top = raw::id(fd.as_fd()).named("ioctl(BTRFS_IOC_INO_LOOKUP)", path)?;
    below(fd.as_fd(), top, most, cancel)
}

pub(super) fn below(any: BorrowedFd, top: u64, most: usize, cancel: &Cancel) -> Result<Vec<u64>> {
    struct Level {
        id: u64,
        /// The children that were not visited yet, the next one at the end.
        ahead: Vec<u64>,
        last: u64,
    }
    let level = |id| -> Result<Level> {
        Level {
            id,
            ahead: Vec::new(),
            last: 0,
        }
        .turned(any)
    };
    impl Level {
        /// With the next page of children.
        fn turned(mut self, any: BorrowedFd) -> Result<Self> {
            self.ahead = children(any, self.id, self.last, PAGE)?;
            self.last = self.ahead.last().copied().unwrap_or(self.last);
            self.ahead.reverse();
            Ok(self)
        }
    }
    let mut found = Vec::new();
    let mut stack = vec![level(top)?];
    while let Some(mut here) = stack.pop() {
        cancel.check()?;
        if found.len() == most {
            break;
        }
        if here.ahead.is_empty() && here.last > 0 {
            here = here.turned(any)?;
        }
        match here.ahead.pop() {
            Some(child) => {
                stack.push(here);
                stack.push(level(child)?);
            }
            None => found.push(here.id),
        }
    }
    Ok(found)
}

/// Removes subvolumes of the file system of `path` by their ids, in this order. One that is gone is no error. The kernel frees them later.
pub fn remove(path: &[u8], ids: &[u64], cancel: &Cancel) -> Result<()> {
    let fd = super::open_any(path)?;
    for id in ids {
        cancel.check()?;
        destroy(fd.as_fd(), *id)?;
    }
    Ok(())
}

/// Destroys one subvolume. Its name is an entry of the subvolume around it, so that one is made writable if it is read-only.
pub(super) fn destroy(any: BorrowedFd, id: u64) -> Result<()> {
    let failed = |error: std::io::Error| Failure::io(&error, "ioctl(BTRFS_IOC_SNAP_DESTROY_V2)", Some(&format!("subvolume {id}")));
    let mut result = raw::destroy(any, id);
    if matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EROFS)) {
        let Some(place) = items::place(any, id)? else { return Ok(()) };
        items::make_writable(any, place.parent)?;
        result = raw::destroy(any, id);
    }
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE)) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Err(Failure {
            message: format!(
                "subvolume {id} can't be removed: it is the default one of its file system, or is being sent; change that first"
            ),
            ..failed(error)
        }),
        other => other.map_err(failed),
    }
}

/// Waits until the kernel has freed removed subvolumes; `path` is any directory of their file system. It starts the kernel's work, which
/// otherwise begins after up to 30 s.
pub fn wait_until_gone(path: &[u8], ids: &[u64], deadline: Duration, cancel: &Cancel) -> Result<()> {
    let fd = super::open_any(path)?;
    let sync = || raw::sync(fd.as_fd()).named("ioctl(BTRFS_IOC_SYNC)", path);
    sync()?;
    let begun = Instant::now();
    let mut synced = begun;
    for id in ids {
        while life(fd.as_fd(), *id)? == Life::Removed {
            cancel.check()?;
            if begun.elapsed() >= deadline {
                let text = format!(
                    "{}: the kernel has not freed removed subvolumes within {} s; they go when nothing uses them any more",
                    shown(path),
                    deadline.as_secs()
                );
                return Err(Failure::new(Code::DeadlineExceeded, text));
            }
            std::thread::sleep(LOOK_AGAIN);
            if synced.elapsed() >= WAKE_AGAIN {
                sync()?;
                synced = Instant::now();
            }
        }
    }
    // Full quotas count what was freed when that is on disk, and hold the groups until then.
    sync()
}
