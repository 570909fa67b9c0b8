//! Signals in a poll set: blocked permanently, and read from a descriptor (signalfd(2), which rustix does not have).

use super::descriptor;
use crate::failure::Result;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks these signals and no others.
    pub fn only(signals: &[i32]) -> Result<Signals> {
        Signals::block(&set(signals), libc::SIG_SETMASK)
    }

    /// Blocks these signals in addition to those that are blocked already.
    pub fn also(signals: &[i32]) -> Result<Signals> {
        Signals::block(&set(signals), libc::SIG_BLOCK)
    }

    /// Blocks every signal that can be blocked.
    pub fn all() -> Result<Signals> {
        let mut all = MaybeUninit::uninit();
        // SAFETY: sigfillset initializes the set.
        let all = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            all.assume_init()
        };
        Signals::block(&all, libc::SIG_BLOCK)
    }

    fn block(signals: &libc::sigset_t, how: i32) -> Result<Signals> {
        // SAFETY: the set is initialized; the old one is not asked for.
        let fd = unsafe {
            libc::sigprocmask(how, signals, std::ptr::null_mut());
            libc::signalfd(-1, signals, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        descriptor(fd.into(), "signalfd", None).map(Signals)
    }

    /// The next pending signal. None: no signal is pending.
    pub fn next(&self) -> Option<i32> {
        let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
        let count = rustix::io::read(&self.0, &mut record).ok()?;
        // The signal's number is the record's first field.
        let number = record.first_chunk().filter(|_| count == record.len())?;
        Some(u32::from_ne_bytes(*number) as i32)
    }

    /// Discards all pending signals.
    pub fn drain(&self) {
        while self.next().is_some() {}
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set; sigaddset refuses a number that is no signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Unblocks all signals of the calling thread. It is async-signal-safe, for a process that is about to execute a program.
pub fn unblock_all() {
    // SAFETY: the set is initialized; the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &set(&[]), std::ptr::null_mut()) };
}

/// Gives every signal its default action.
pub fn reset_all() {
    for signal in 1..65 {
        // SAFETY: SIG_DFL runs no code of ours. Signals that have no other action answer EINVAL.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Ignores a signal from now on.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_once() {
        // The mask belongs to the test's thread, and the signal goes only to this thread.
        let signals = Signals::also(&[libc::SIGUSR1]).unwrap();
        assert_eq!(signals.next(), None);
        // SAFETY: a number; this thread has the signal blocked.
        unsafe { libc::raise(libc::SIGUSR1) };
        assert_eq!(signals.next(), Some(libc::SIGUSR1));
        assert_eq!(signals.next(), None);
    }
}
