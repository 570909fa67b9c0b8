//! The change of root, in a mount namespace of its own.

use crate::failure::Result;
use crate::sys::mount::{self, Attributes};
use crate::sys::{self, Call};
use rustix::mount::UnmountFlags;
use rustix::process::{chdir, fchdir, pivot_root};
use std::os::fd::{AsFd, BorrowedFd};

/// Takes every mount of this namespace out of the way of the host's: what is mounted here goes nowhere, what the host mounts later still
/// comes in (volumes that are `rslave` must see it). `/` itself gets a new root laid over it: it must not be shared at all.
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

/// Makes an attached root the root, and detaches the old one with all that is mounted in it.
pub fn pivot(root: BorrowedFd) -> Result<()> {
    let old = sys::open("/", libc::O_PATH | libc::O_DIRECTORY)?;
    fchdir(root).call("fchdir", None)?;
    pivot_root(c".", c".").call("pivot_root", None)?;
    fchdir(&old).call("fchdir", None)?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).call("umount2", None)?;
    chdir(c"/").call("chdir", None)
}
