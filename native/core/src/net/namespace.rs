//! Work in another network namespace. A namespace belongs to a thread (setns(2)): the thread that joins one is made for it, and never comes
//! back.

use crate::failure::{Code, Failure, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Runs `work` in the namespace `netns`.
pub fn within<T: Send>(netns: BorrowedFd, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(|| {
        // SAFETY: a system call on a descriptor that outlives it; it changes this thread alone.
        match unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) } {
            0 => work(),
            _ => Err(Failure::last("setns", None)),
        }
    })
}

/// Runs `work` in a namespace that is new, and gone when it answers.
pub fn in_new<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(|| match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => work(),
        _ => Err(Failure::last("unshare", None)),
    })
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("tsbox-netns".to_owned()).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| Failure::io(&error, "clone", None))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Failure::new(Code::Internal, "the thread in the network namespace panicked")))
    })
}
