//! Work in another network namespace. A namespace belongs to a thread (setns(2)), so a new thread joins it, and never returns to the old
//! one.

use crate::failure::{Code, Failure, Result};
use crate::sys::Call;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::os::fd::BorrowedFd;

/// Runs `work` in the namespace `netns`.
pub fn within<T: Send>(netns: BorrowedFd, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(|| {
        move_into_link_name_space(netns, Some(LinkNameSpaceType::Network)).call("setns", None)?;
        work()
    })
}

/// Runs `work` in a new namespace, which is gone when this returns.
pub fn in_new<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(|| {
        // SAFETY: it changes the network namespace of this thread alone, and no memory or descriptors.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.call("unshare", None)?;
        work()
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
