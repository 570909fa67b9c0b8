//! The change of root, in a private mount namespace.

use crate::failure::Result;
use crate::sys::mount::{self, Attributes};
use crate::sys::{self, Call};
use rustix::mount::UnmountFlags;
use rustix::process::{chdir, fchdir, pivot_root};
use std::os::fd::{AsFd, BorrowedFd};

/// Separates all mounts of this namespace from the host's: mounts made here do not propagate to the host, but later mounts of the host
/// still propagate here (`rslave` volumes must see them). `/` itself must not be shared at all, since a new root is attached over it.
pub fn isolate() -> Result<()> {
    let root = sys::open("/", libc::O_PATH | libc::O_DIRECTORY)?;
    mount::set_attributes(
        root.as_fd(),
        Attributes {
            propagation: libc::MS_SLAVE,
            ..Attributes::default()
        },
        true,
    )?;
    mount::set_attributes(
        root.as_fd(),
        Attributes {
            propagation: libc::MS_PRIVATE,
            ..Attributes::default()
        },
        false,
    )
}

/// Makes an attached mount the root, and detaches the old root with all its mounts.
pub fn pivot(root: BorrowedFd) -> Result<()> {
    let old = sys::open("/", libc::O_PATH | libc::O_DIRECTORY)?;
    fchdir(root).call("fchdir", None)?;
    pivot_root(c".", c".").call("pivot_root", None)?;
    fchdir(&old).call("fchdir", None)?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).call("umount2", None)?;
    chdir(c"/").call("chdir", None)
}
