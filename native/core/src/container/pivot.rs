//! The change of root, in a mount namespace of its own.

use crate::failure::Result;
use crate::sys;
use crate::sys::mount::{self, Attributes};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

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

/// Makes an attached root the root and lets go of the old one with all that is mounted in it.
pub fn pivot(root: BorrowedFd) -> Result<()> {
    let old = sys::open("/", libc::O_PATH | libc::O_DIRECTORY)?;
    // SAFETY: constant strings and open descriptors.
    unsafe {
        sys::check(libc::fchdir(root.as_raw_fd()).into(), "fchdir", None)?;
        sys::check(
            libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()),
            "pivot_root",
            None,
        )?;
        sys::check(libc::fchdir(old.as_raw_fd()).into(), "fchdir", None)?;
        sys::check(libc::umount2(c".".as_ptr(), libc::MNT_DETACH).into(), "umount2", None)?;
        sys::check(libc::chdir(c"/".as_ptr()).into(), "chdir", None)?;
    }
    Ok(())
}
