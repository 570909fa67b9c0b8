//! The file system of a running process.

use super::Held;
use crate::failure::{Code, Failure, Result};
use crate::sys::{self, Call, at};
use rustix::fs::{Mode, OFlags, openat};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// The root directory of a running process as the process sees it, with all its mounts, which exist as long as the returned value. `cgroup`
/// is a name in the path of the process's cgroup that no other process has, since the kernel reuses pids. Fails with `FailedPrecondition`
/// if the process is gone.
pub fn process_root(pid: u32, cgroup: &str) -> Result<Held> {
    let gone = || {
        Failure::new(
            Code::FailedPrecondition,
            format!("process {pid} of the container has ended: its files can't be reached through it any more"),
        )
    };
    let process = sys::open(&format!("/proc/{pid}"), libc::O_PATH).map_err(|_| gone())?;
    // A file that is opened through this descriptor belongs to this process, or the call fails.
    let is_it = at::open(process.as_fd(), c"cgroup", libc::O_RDONLY, 0).is_ok_and(|file| {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::fs::File::from(file), &mut text).is_ok() && text.contains(cgroup)
    });
    if !is_it {
        return Err(gone());
    }
    // Magic links, which must be followed.
    let follow = |name: &CStr, flags: OFlags| -> Result<OwnedFd> {
        openat(&process, name, flags | OFlags::CLOEXEC, Mode::empty())
            .call("openat", None)
            .map_err(|_| gone())
    };
    let namespace = follow(c"ns/mnt", OFlags::RDONLY)?;
    let root = follow(c"root", OFlags::PATH | OFlags::DIRECTORY)?;
    Ok(Held {
        root,
        namespace: Some(namespace),
    })
}
