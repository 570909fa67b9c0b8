//! A caller that stays until the process ends: it forwards signals and terminal data, and returns the process's exit code.

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys::poll::{self, Ready};
use tsbox_core::sys::signals::Signals;
use tsbox_core::sys::{Call, process, retry};

/// How long another runtime may take to reap its child.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long its monitor may take to bring the last output.
const DRAIN: Duration = Duration::from_secs(2);

/// Returns the exit code as a shell reports it: 128 + signal for a killed process.
pub fn serve(pid: i32, pidfd: &OwnedFd, console: Option<OwnedFd>) -> Result<i32> {
    let signals = Signals::all()?;
    let _raw = console.as_ref().map(|_| Raw::enter());
    let mut console = console;
    if let Some(console) = &console {
        copy_size(console);
    }
    let mut input = console.is_some();
    // The code of an ended process whose output its monitor still brings, and until when.
    let mut ended: Option<(i32, Instant)> = None;
    loop {
        if let Some((code, until)) = ended
            && (console.is_none() || Instant::now() >= until)
        {
            return Ok(code);
        }
        let terminal = console.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let entry = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut entries = [
            entry(signals.as_raw_fd()),
            entry(if ended.is_some() { -1 } else { pidfd.as_raw_fd() }),
            entry(terminal),
            entry(if input { 0 } else { -1 }),
        ];
        let timeout = if ended.is_some() { 100 } else { -1 };
        if !poll::wait(&mut entries, timeout).is_ok_and(Ready::some) {
            continue;
        }
        if entries[0].revents != 0
            && let Some(signal) = signals.next()
        {
            match (signal, &console) {
                (libc::SIGCHLD, _) => {}
                (libc::SIGWINCH, Some(console)) => copy_size(console),
                _ => drop(process::kill(pid, signal)),
            }
        }
        if entries[2].revents != 0 && !console.as_ref().is_some_and(|console| carry(console.as_fd(), stdout())) {
            console = None;
            input = false;
            continue;
        }
        if entries[3].revents != 0 && !console.as_ref().is_some_and(|console| carry(stdin(), console.as_fd())) {
            input = false;
        }
        // Read the last output before the process's end is handled.
        if entries[1].revents != 0 && entries[2].revents == 0 {
            match status(pid, pidfd)? {
                (code, false) => return Ok(code),
                (code, true) => ended = Some((code, Instant::now() + DRAIN)),
            }
        }
    }
}

/// The exit code, and whether somebody else is the parent.
fn status(pid: i32, pidfd: &OwnedFd) -> Result<(i32, bool)> {
    let mut is_adopted = false;
    let status = match retry(|| waitpid(Pid::from_raw(pid), WaitOptions::empty())) {
        // The child of another runtime's monitor, which reaps it.
        Err(Errno::CHILD) => {
            is_adopted = true;
            reaped_by_other(pidfd)?
        }
        answer => answer.call("waitpid", None)?.map_or(0, |(_, status)| status.as_raw()),
    };
    let code = if libc::WIFSIGNALED(status) {
        128 + libc::WTERMSIG(status)
    } else {
        libc::WEXITSTATUS(status)
    };
    Ok((code, is_adopted))
}

fn reaped_by_other(pidfd: &OwnedFd) -> Result<i32> {
    let end = Instant::now() + REAP_TIMEOUT;
    loop {
        match process::exit_of_any(pidfd.as_fd()) {
            Some(status) => return Ok(status),
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            None => {
                let what = "the process is no child of this one, and the kernel does not tell how it ended";
                return Err(Failure::new(Code::Unavailable, what));
            }
        }
    }
}

/// Copies what is available. False: no more data will come.
fn carry(from: BorrowedFd, to: BorrowedFd) -> bool {
    let mut buffer = [0u8; 32 << 10];
    let Ok(count @ 1..) = rustix::io::read(from, &mut buffer) else {
        return false;
    };
    let mut left = &buffer[..count];
    while !left.is_empty() {
        match retry(|| rustix::io::write(to, left)) {
            Ok(written) => left = &left[written..],
            Err(_) => return false,
        }
    }
    true
}

fn copy_size(console: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(stdin()) {
        let _ = tcsetwinsize(console, size);
    }
}

/// Sets the caller's terminal to raw mode, which passes every key on, until this is dropped.
struct Raw {
    before: Option<Termios>,
}

impl Raw {
    fn enter() -> Raw {
        let before = tcgetattr(stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(stdin(), OptionalActions::Now, &raw);
        }
        Raw { before }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}
