//! A process that is not the shim's child: the monitor of another runtime (LXC) is its parent and reaps it. Its pidfd says when it has
//! ended, and from Linux 6.15 on how.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use tsbox_core::sys::process;

/// How long the monitor may take to reap the process. Then its format is asked.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between two questions to the kernel.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A process of somebody else's.
pub struct Adopted {
    /// When its end was noticed; None: it lives.
    ended: Option<Instant>,
}

impl Adopted {
    /// None: it is a child of this process, which reaps it.
    pub fn of(pidfd: BorrowedFd) -> Option<Adopted> {
        (!process::is_child(pidfd)).then_some(Adopted { ended: None })
    }

    /// Whether the pidfd is polled. An ended process is looked at again after a while.
    pub fn lives(&self) -> bool {
        self.ended.is_none()
    }

    /// The time until the next look at an ended process.
    pub fn left(&self) -> Option<Duration> {
        self.ended.map(|_| LOOK_EVERY)
    }

    /// Its pidfd was ready.
    pub fn has_ended(&mut self) {
        self.ended.get_or_insert_with(Instant::now);
    }

    pub fn look(&self, pidfd: BorrowedFd) -> Seen {
        let Some(since) = self.ended else { return Seen::Alive };
        match process::exit_of_any(pidfd) {
            Some(state) => Seen::Ended(state),
            None if since.elapsed() < REAP_TIMEOUT => Seen::Alive,
            None => Seen::EndedUnknown,
        }
    }
}

/// What a look at it has shown.
pub enum Seen {
    /// It lives, or its monitor has not reaped it yet.
    Alive,
    /// The status of waitpid(2).
    Ended(i32),
    /// Only its format knows how.
    EndedUnknown,
}
