//! Writes to the real /proc. A container can mount over its own /proc or replace files in it, and a label or sysctl that is written to a
//! file of its choice allows an escape (CVE-2025-52881). So writes use a separate instance that is not attached anywhere.

use crate::failure::{Code, Failure, Result};
use crate::sys;
use crate::sys::at;
use crate::sys::mount::{Attributes, Context};
use crate::tree::Named;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub struct Procfs {
    fd: OwnedFd,
}

impl Procfs {
    /// A /proc of the caller's pid namespace.
    pub fn detached() -> Result<Procfs> {
        Ok(Procfs {
            fd: Context::open("proc")?.mount(Attributes::default())?,
        })
    }

    /// The host's /proc, for a process in the host's mount namespace.
    pub fn of_host() -> Result<Procfs> {
        let fd = sys::open("/proc", libc::O_PATH | libc::O_DIRECTORY)?;
        if sys::file_system(fd.as_fd())? != sys::PROC_MAGIC {
            return Err(Failure::new(Code::FailedPrecondition, "/proc is not procfs"));
        }
        Ok(Procfs { fd })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Writes one value to one file. An image's links can't redirect the write.
    pub fn write(&self, path: &str, value: &str) -> Result<()> {
        let file = at::open_in_root(self.fd.as_fd(), path.as_bytes(), libc::O_WRONLY).named("openat2", path.as_bytes())?;
        if sys::file_system(file.as_fd())? != sys::PROC_MAGIC {
            return Err(Failure::new(Code::FailedPrecondition, format!("/proc/{path} is not on procfs")));
        }
        sys::write(file.as_fd(), value.as_bytes(), &format!("/proc/{path}"))
    }
}
