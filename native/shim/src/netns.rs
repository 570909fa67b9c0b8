//! A network namespace that lives as long as a descriptor of the shim, which itself stays in the host's.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use tsbox_core::failure::{Failure, Result};

pub fn make() -> Result<OwnedFd> {
    let host = current()?;
    // SAFETY: the process has one thread; setns takes a descriptor of this process.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNET) != 0 {
            return Err(Failure::last("unshare(CLONE_NEWNET)", None).at("network namespace"));
        }
        let made = current();
        if libc::setns(host.as_raw_fd(), libc::CLONE_NEWNET) != 0 {
            return Err(Failure::last("setns", Some("/proc/self/ns/net")).at("network namespace"));
        }
        made
    }
}

fn current() -> Result<OwnedFd> {
    let path = c"/proc/self/ns/net";
    // SAFETY: a constant path; the descriptor is ours.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 { Err(Failure::last("open", path.to_str().ok())) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}
