//! A caller that stays until the process ends: signals are passed on, a terminal is carried, the exit code is the process's.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use tsbox_core::failure::{Failure, Result};
use tsbox_core::sys;

/// The exit code as a shell sees it: 128 + signal for who was killed.
pub fn serve(pid: i32, pidfd: &OwnedFd, console: Option<OwnedFd>) -> Result<i32> {
    let signals = Signals::take()?;
    let _raw = console.as_ref().map(|_| Raw::enter(0));
    let mut console = console;
    if let Some(console) = &console {
        copy_size(console);
    }
    let mut input = console.is_some();
    loop {
        let terminal = console.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let entry = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut entries = [
            entry(signals.fd.as_raw_fd()),
            entry(pidfd.as_raw_fd()),
            entry(terminal),
            entry(if input { 0 } else { -1 }),
        ];
        // SAFETY: four entries.
        if unsafe { libc::poll(entries.as_mut_ptr(), 4, -1) } < 0 {
            continue;
        }
        if entries[0].revents != 0
            && let Some(signal) = signals.next()
        {
            match (signal, &console) {
                (libc::SIGCHLD, _) => {}
                (libc::SIGWINCH, Some(console)) => copy_size(console),
                // SAFETY: plain numbers.
                _ => drop(unsafe { libc::kill(pid, signal) }),
            }
        }
        if entries[2].revents != 0 && !carry(terminal, 1) {
            console = None;
            input = false;
            continue;
        }
        if entries[3].revents != 0 && !carry(0, terminal) {
            input = false;
        }
        // What it wrote last comes before its end.
        if entries[1].revents != 0 && entries[2].revents == 0 {
            return status(pid);
        }
    }
}

fn status(pid: i32) -> Result<i32> {
    let mut status = 0;
    // SAFETY: one int.
    while unsafe { libc::waitpid(pid, &mut status, 0) } < 0 {
        let failure = Failure::last("waitpid", None);
        if failure.errno != Some(libc::EINTR) {
            return Err(failure);
        }
    }
    Ok(if libc::WIFSIGNALED(status) {
        128 + libc::WTERMSIG(status)
    } else {
        libc::WEXITSTATUS(status)
    })
}

/// False: nothing more comes.
fn carry(from: RawFd, to: RawFd) -> bool {
    let mut buffer = [0u8; 32 << 10];
    // SAFETY: buffers of those lengths.
    unsafe {
        let count = libc::read(from, buffer.as_mut_ptr().cast(), buffer.len());
        if count <= 0 {
            return false;
        }
        let mut done = 0;
        while done < count {
            let written = libc::write(to, buffer.as_ptr().add(done as usize).cast(), (count - done) as usize);
            if written < 0 && *libc::__errno_location() != libc::EINTR {
                return false;
            }
            done += written.max(0);
        }
    }
    true
}

fn copy_size(console: &OwnedFd) {
    // SAFETY: the kernel fills and reads one winsize.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        if libc::ioctl(0, libc::TIOCGWINSZ, &mut size) == 0 {
            libc::ioctl(console.as_raw_fd(), libc::TIOCSWINSZ, &size);
        }
    }
}

struct Signals {
    fd: OwnedFd,
}

impl Signals {
    fn take() -> Result<Signals> {
        // SAFETY: sets are plain numbers.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut set);
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            sys::check(fd.into(), "signalfd", None)?;
            Ok(Signals {
                fd: OwnedFd::from_raw_fd(fd),
            })
        }
    }

    fn next(&self) -> Option<i32> {
        // SAFETY: the kernel fills one whole record.
        unsafe {
            let mut info: libc::signalfd_siginfo = std::mem::zeroed();
            let size = std::mem::size_of::<libc::signalfd_siginfo>();
            (libc::read(self.fd.as_raw_fd(), (&raw mut info).cast(), size) == size as isize).then_some(info.ssi_signo as i32)
        }
    }
}

/// The caller's terminal passes every key on, until this is dropped.
struct Raw {
    fd: RawFd,
    before: Option<libc::termios>,
}

impl Raw {
    fn enter(fd: RawFd) -> Raw {
        // SAFETY: the kernel fills and reads one termios.
        unsafe {
            let mut before: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(fd, &mut before) != 0 {
                return Raw { fd, before: None };
            }
            let mut raw = before;
            libc::cfmakeraw(&mut raw);
            libc::tcsetattr(fd, libc::TCSANOW, &raw);
            Raw { fd, before: Some(before) }
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: as above.
            unsafe { libc::tcsetattr(self.fd, libc::TCSANOW, before) };
        }
    }
}
