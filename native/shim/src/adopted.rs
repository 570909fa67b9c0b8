//! The end of a process that is not the shim's child: the monitor of another runtime (LXC) is its parent and reaps it. Its pidfd says when it
//! has ended, and from Linux 6.15 on how.

use crate::shim::Shim;
use crate::status;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use tsbox_core::peer::protocol::Exit;
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

    pub fn left(&self) -> Option<Duration> {
        self.ended.map(|_| LOOK_EVERY)
    }
}

impl Shim {
    /// The adopted process's pidfd was ready.
    pub(crate) fn adopted_ended(&mut self) {
        if let Some(adopted) = self.container.as_mut().and_then(|container| container.adopted.as_mut()) {
            adopted.ended.get_or_insert_with(Instant::now);
        }
    }

    /// Called in every round.
    pub(crate) fn look_at_adopted(&mut self) {
        let Some(container) = self.container.as_mut().filter(|container| container.process.exited().is_none()) else {
            return;
        };
        let Some(since) = container.adopted.as_ref().and_then(|adopted| adopted.ended) else {
            return;
        };
        let exit: fn(bool) -> Exit = match process::exit_of_any(container.process.pidfd.as_fd()) {
            Some(state) => return self.ended(|out_of_memory| status::exit(state, out_of_memory)),
            None if since.elapsed() < REAP_TIMEOUT => return,
            None => status::unknown,
        };
        self.ended(exit);
    }
}
