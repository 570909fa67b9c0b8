//! A container's terminal: a pseudo-terminal of the container's own devpts, so that its /dev/console and /dev/pts/0 are the same terminal.

use crate::failure::{Code, Failure, Result};
use crate::sys::mount;
use crate::sys::{self, Call, at};
use crate::tree::root::Root;
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

pub struct Terminal {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

impl Terminal {
    /// Opens `/dev/pts/ptmx` below `root`. The other end is opened from the master itself (TIOCGPTPEER) and not by name, which could mean
    /// another file by now (CVE-2025-52565).
    pub fn open(root: &Root) -> Result<Terminal> {
        let master = root.open("/dev/pts/ptmx", libc::O_RDWR | libc::O_NOCTTY | libc::O_NOFOLLOW)?;
        Terminal::checked(master)
    }

    /// The same from inside of the container, by a process that is its own.
    pub fn open_own() -> Result<Terminal> {
        Terminal::checked(sys::open("/dev/pts/ptmx", libc::O_RDWR | libc::O_NOCTTY | libc::O_NOFOLLOW)?)
    }

    fn checked(master: OwnedFd) -> Result<Terminal> {
        let stat = sys::stat(master.as_fd())?;
        if sys::file_system(master.as_fd())? != sys::DEVPTS_MAGIC || stat.st_rdev != libc::makedev(5, 2) {
            return Err(Failure::new(
                Code::FailedPrecondition,
                "/dev/pts/ptmx of the container is not a terminal multiplexer",
            ));
        }
        Terminal::with(master)
    }

    /// A terminal of the host's own, for a program that passes it on to its container.
    pub fn of_host() -> Result<Terminal> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        Terminal::with(openpt(flags).call("open", Some("/dev/ptmx"))?)
    }

    fn with(master: OwnedFd) -> Result<Terminal> {
        unlockpt(&master).call("TIOCSPTLCK", None)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags).call("TIOCGPTPEER", None)?;
        Ok(Terminal { master, slave })
    }

    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        resize(self.master.as_fd(), rows, columns)
    }

    /// Binds the terminal at `/dev/console`.
    pub fn as_console(&self, root: &Root) -> Result<()> {
        let place = root.make_file("/dev/console")?;
        mount::attach_to(mount::clone_descriptor(self.slave.as_fd(), false)?.as_fd(), place.as_fd())
    }

    /// Makes it standard input, output and error of the calling process, and changes its owner to the process's user.
    pub fn lend(&self, owner: u32) -> Result<()> {
        at::set_owner_fd(self.slave.as_fd(), owner, u32::MAX).call("fchown", Some("/dev/console"))?;
        redirect([self.slave.as_raw_fd(); 3])
    }
}

/// `master`: a terminal's own end.
pub fn resize(master: BorrowedFd, rows: u16, columns: u16) -> Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).call("TIOCSWINSZ", None)
}

/// Makes the terminal at standard input the controlling terminal of the calling process, which must lead a session.
pub fn control() -> Result<()> {
    ioctl_tiocsctty(rustix::stdio::stdin()).call("TIOCSCTTY", None)
}

/// Moves three descriptors to 0, 1 and 2, whatever their numbers are.
pub fn redirect(wanted: [i32; 3]) -> Result<()> {
    // Duplicate all first: a descriptor may already be one of 0, 1 and 2.
    let mut copies = [-1; 3];
    for (copy, fd) in copies.iter_mut().zip(wanted) {
        // SAFETY: plain numbers.
        *copy = sys::check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) }.into(), "dup", None)? as i32;
    }
    for (number, copy) in copies.into_iter().enumerate() {
        // SAFETY: plain numbers; the copy is ours to close.
        unsafe {
            sys::check(libc::dup2(copy, number as i32).into(), "dup2", None)?;
            libc::close(copy);
        }
    }
    Ok(())
}

/// Changes the owner of pipes and files at standard input, output or error, so that a user can open them by name (/dev/stdout). A process
/// in a user namespace can't do that for files that the host's root has made, so the caller calls this with the user's id on the host.
pub fn hand_over(fds: [RawFd; 3], uid: u32) {
    for fd in fds {
        // SAFETY: a descriptor number; fchown of what can't be handed over changes nothing.
        unsafe {
            let borrowed = BorrowedFd::borrow_raw(fd);
            if let Ok(stat) = sys::stat(borrowed)
                && stat.st_uid != uid
                && stat.st_rdev != libc::makedev(1, 3)
            {
                libc::fchown(fd, uid, u32::MAX);
            }
        }
    }
}

/// Replaces the host's /dev/null at standard input, output or error by the container's own: a process that has a descriptor of an inode may
/// change the inode's mode. The root is the container's already, and its file with that name need not be a device.
pub fn own_null() -> Result<()> {
    for number in 0..3 {
        // SAFETY: a descriptor number; what is closed says so.
        let present = sys::stat(unsafe { BorrowedFd::borrow_raw(number) });
        if !present.is_ok_and(|stat| is_null(&stat)) {
            continue;
        }
        let own = match open_null() {
            Ok(own) => own,
            // An empty pipe has the same effect for standard input.
            Err(_) if number == 0 => std::io::pipe()
                .map(|(reading, _)| reading.into())
                .map_err(|error| Failure::io(&error, "pipe", None))?,
            Err(failure) => return Err(failure),
        };
        // SAFETY: plain numbers.
        sys::check(unsafe { libc::dup2(own.as_raw_fd(), number) }.into(), "dup2", None)?;
    }
    Ok(())
}

fn open_null() -> Result<OwnedFd> {
    let own = sys::open("/dev/null", libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK)?;
    if is_null(&sys::stat(own.as_fd())?) {
        Ok(own)
    } else {
        Err(Failure::new(
            Code::FailedPrecondition,
            "/dev/null of the container is not the null device",
        ))
    }
}

fn is_null(stat: &rustix::fs::Stat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(1, 3)
}
