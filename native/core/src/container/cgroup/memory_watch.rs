//! Notification when memory runs out: an eventfd of v1's memory.oom_control, or v2's memory.events, which becomes ready with POLLPRI when a
//! number in it changes.

use super::{put, stats};
use crate::sys;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{SeekFrom, seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

pub struct MemoryWatch {
    fd: OwnedFd,
    /// v2: the number of kills that are already reported.
    kills: Option<u64>,
}

impl MemoryWatch {
    pub(super) fn of_v1(directory: &Path) -> Option<MemoryWatch> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
        let control = sys::open(&directory.join("memory.oom_control").to_string_lossy(), libc::O_RDONLY).ok()?;
        let words = format!("{} {}", fd.as_raw_fd(), control.as_raw_fd());
        put(&directory.join("cgroup.event_control"), &words).ok()?;
        Some(MemoryWatch { fd, kills: None })
    }

    pub(super) fn of_v2(directory: &Path) -> Option<MemoryWatch> {
        let fd = sys::open(&directory.join("memory.events").to_string_lossy(), libc::O_RDONLY).ok()?;
        let mut watch = MemoryWatch { fd, kills: Some(0) };
        // Read once. Otherwise the first poll would return at once.
        watch.ran_out();
        Some(watch)
    }

    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The events for poll(2).
    pub fn events(&self) -> i16 {
        if self.kills.is_some() { libc::POLLPRI } else { libc::POLLIN }
    }

    /// Called after poll(2). Returns whether memory has run out since the last call.
    pub fn ran_out(&mut self) -> bool {
        let Some(before) = self.kills else {
            return rustix::io::read(&self.fd, &mut [0u8; 8]) == Ok(8);
        };
        let _ = seek(&self.fd, SeekFrom::Start(0));
        let Ok(text) = sys::read(self.fd.as_fd(), "memory.events") else {
            return false;
        };
        let now = stats::field(&text, "oom_kill");
        self.kills = Some(now);
        now > before
    }
}
