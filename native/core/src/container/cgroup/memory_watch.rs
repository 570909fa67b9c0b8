//! When memory runs out: an eventfd of v1's memory.oom_control, or v2's memory.events, which says POLLPRI when a number in it changes.

use super::{put, stats};
use crate::sys;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

pub struct MemoryWatch {
    fd: OwnedFd,
    /// v2: kills that were told.
    kills: Option<u64>,
}

impl MemoryWatch {
    pub(super) fn of_v1(directory: &Path) -> Option<MemoryWatch> {
        // SAFETY: plain numbers; the descriptor is ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return None;
        }
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let control = sys::open(&directory.join("memory.oom_control").to_string_lossy(), libc::O_RDONLY).ok()?;
        let words = format!("{} {}", fd.as_raw_fd(), control.as_raw_fd());
        put(&directory.join("cgroup.event_control"), &words).ok()?;
        Some(MemoryWatch { fd, kills: None })
    }

    pub(super) fn of_v2(directory: &Path) -> Option<MemoryWatch> {
        let fd = sys::open(&directory.join("memory.events").to_string_lossy(), libc::O_RDONLY).ok()?;
        let mut watch = MemoryWatch { fd, kills: Some(0) };
        // Read once, else the first poll answers at once.
        watch.ran_out();
        Some(watch)
    }

    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// For poll(2).
    pub fn events(&self) -> i16 {
        if self.kills.is_some() { libc::POLLPRI } else { libc::POLLIN }
    }

    /// After poll: whether it has run out since the last time.
    pub fn ran_out(&mut self) -> bool {
        let Some(before) = self.kills else {
            let mut count = 0u64;
            // SAFETY: room for the counter of an eventfd.
            return unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) } == 8;
        };
        // SAFETY: a descriptor that is open.
        unsafe { libc::lseek(self.fd.as_raw_fd(), 0, libc::SEEK_SET) };
        let Ok(text) = sys::read(self.fd.as_fd(), "memory.events") else {
            return false;
        };
        let now = stats::field(&text, "oom_kill");
        self.kills = Some(now);
        now > before
    }
}
