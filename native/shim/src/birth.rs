//! From a fork of the launcher to a shim: a process of its own, its namespaces, its socket, its signals.

use crate::Config;
use crate::namespaces::Namespaces;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use tsbox_core::failure::{Failure, Result};

/// What it has before it has a container.
pub struct Parts {
    pub namespaces: Namespaces,
    pub listener: UnixListener,
    pub signals: OwnedFd,
}

impl Parts {
    pub fn make(config: &Config) -> Result<Parts> {
        become_shim()?;
        let namespaces = Namespaces::make(config.network, config.id_maps.as_ref())?;
        Ok(Parts {
            namespaces,
            listener: listen(&config.directory)?,
            signals: signals()?,
        })
    }
}

/// What sets the shim apart from the launcher that it was a moment ago.
fn become_shim() -> Result<()> {
    // SAFETY: calls on this process alone, which has one thread.
    unsafe {
        libc::setsid();
        libc::chdir(c"/".as_ptr());
        libc::umask(0o022);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::prctl(libc::PR_SET_NAME, c"tsbox:[shim]".as_ptr());
        if libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) != 0 {
            return Err(Failure::last("prctl(PR_SET_CHILD_SUBREAPER)", None));
        }
    }
    Ok(())
}

/// `shim.sock` in the container's directory. A socket's path has 107 bytes at most, so it is bound by a short way round.
fn listen(directory: &std::path::Path) -> Result<UnixListener> {
    let failed = |error: io::Error| Failure::io(&error, "listen", directory.to_str());
    // What an earlier start of the same container left.
    for old in ["shim.sock", "exit"] {
        let _ = std::fs::remove_file(directory.join(old));
    }
    let folder = std::fs::File::open(directory).map_err(failed)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/shim.sock", folder.as_raw_fd())).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn signals() -> Result<OwnedFd> {
    // SAFETY: a signal set on the stack; the descriptor is ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            Err(Failure::last("signalfd", None))
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}
