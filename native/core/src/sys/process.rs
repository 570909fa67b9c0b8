//! Other processes, by pid or pidfd: signals, their end, and their wait status.

use super::{Call, check};
use crate::failure::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A descriptor of a process, which never refers to another process, even if the kernel reuses the pid. ESRCH: there is no such process.
pub fn open(pid: i32) -> Result<OwnedFd> {
    // rustix does not accept a negative number as a pid, not even as a wrong one.
    let pid = Pid::from_raw(pid.max(0)).ok_or(Errno::INVAL).call("pidfd_open", None)?;
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).call("pidfd_open", None)
}

/// Sends a signal. rustix's own function takes no real-time signals, which users send.
pub fn signal(pidfd: BorrowedFd, signal: i32) -> Result<()> {
    // SAFETY: a descriptor and a number; without a siginfo the kernel makes its own.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(sent, "pidfd_send_signal", None).map(drop)
}

/// kill(2): a pid, or the negative number of a process group. rustix's own function takes no real-time signals. Use it only for processes
/// whose pid can't have been reused, such as a child that is not reaped.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: two numbers.
    check(unsafe { libc::kill(pid, signal) }.into(), "kill", None).map(drop)
}

/// Reaps a child that has ended, and returns its pid and wait status; `pid` -1: any child. None: no child has ended.
pub fn reap(pid: i32) -> Option<(i32, i32)> {
    let waited = if pid > 0 {
        rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG)
    } else {
        // Not `waitpid(None)`, which means the children of the caller's own process group.
        rustix::process::wait(WaitOptions::NOHANG)
    };
    let (pid, status) = waited.ok()??;
    Some((pid.as_raw_nonzero().get(), status.as_raw()))
}

/// Waits for the end of a child and reaps it.
pub fn reap_by(pidfd: BorrowedFd) {
    while let Err(Errno::INTR) = rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {}
}

/// The wait status of any process that has ended and was reaped, by PIDFD_GET_INFO. None: the kernel is older than 6.15, or its parent has
/// not reaped it.
pub fn exit_of_any(pidfd: BorrowedFd) -> Option<i32> {
    const PIDFD_GET_INFO: libc::c_ulong = 0xC040_FF0B;
    const EXIT: u64 = 1 << 3;
    // `struct pidfd_info` up to its first version: mask, cgroup id, eleven ids, the exit status.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        status: i32,
    }
    let mut info = Info {
        mask: EXIT,
        ..Info::default()
    };
    // SAFETY: the structure has the size that the request's number names.
    let answer = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    (answer == 0 && info.mask & EXIT != 0).then_some(info.status)
}

/// Whether a process is a child of the caller, which may have ended and is not reaped.
pub fn is_child(pidfd: BorrowedFd) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(rustix::process::waitid(WaitId::PidFd(pidfd), options), Err(Errno::CHILD))
}

/// Whether a process ends within `timeout`.
pub fn await_end(pidfd: BorrowedFd, timeout: Duration) -> bool {
    is_ready(pidfd, PollFlags::IN, timeout)
}

/// Whether a descriptor becomes ready for `events`, or hangs up, within `timeout`; `Duration::MAX` waits without a limit.
pub fn is_ready(fd: BorrowedFd, events: PollFlags, timeout: Duration) -> bool {
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let left = deadline.and_then(|deadline| Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok());
        match poll(&mut [PollFd::from_borrowed_fd(fd.as_fd(), events)], left.as_ref()) {
            Err(Errno::INTR) => {}
            answer => return answer.is_ok_and(|ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_signalled_and_its_end_is_seen() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = open(child.id() as i32).unwrap();
        assert!(!await_end(pidfd.as_fd(), Duration::ZERO));
        signal(pidfd.as_fd(), 0).unwrap();
        // The last real-time signal.
        signal(pidfd.as_fd(), 64).unwrap();
        assert!(await_end(pidfd.as_fd(), Duration::from_secs(10)));
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(64));
        assert_eq!(open(child.id() as i32).unwrap_err().errno, Some(libc::ESRCH));
    }

    #[test]
    fn a_child_that_runs_is_not_reaped() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(reap(child.id() as i32), None);
        kill(child.id() as i32, libc::SIGKILL).unwrap();
        let pidfd = open(child.id() as i32).unwrap();
        assert!(await_end(pidfd.as_fd(), Duration::from_secs(10)));
        assert_eq!(reap(child.id() as i32), Some((child.id() as i32, libc::SIGKILL)));
        assert!(child.wait().is_err());
    }
}
