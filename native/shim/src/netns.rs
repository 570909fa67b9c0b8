//! A network namespace that lives as long as a descriptor of the shim, which itself stays in the host's.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use tsbox_core::failure::{Failure, Result};

pub fn make() -> Result<OwnedFd> {
    let host = current()?;
    // SAFETY: the process has one thread; setns takes a descriptor of this process.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNET) != 0 {
            return Err(Failure::last("unshare(CLONE_NEWNET)", None).at("network namespace"));
        }
        let made = current().and_then(|made| loopback().map(|()| made));
        if libc::setns(host.as_raw_fd(), libc::CLONE_NEWNET) != 0 {
            return Err(Failure::last("setns", Some("/proc/self/ns/net")).at("network namespace"));
        }
        made
    }
}

/// A new namespace's loopback is down; every container wants it up, whatever its network.
fn loopback() -> Result<()> {
    // SAFETY: ifreq is plain data; the name fits.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(Failure::last("socket", None).at("network namespace"));
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) < 0 {
            return Err(Failure::last("ioctl(SIOCSIFFLAGS)", Some("lo")).at("network namespace"));
        }
    }
    Ok(())
}

fn current() -> Result<OwnedFd> {
    let path = c"/proc/self/ns/net";
    // SAFETY: a constant path; the descriptor is ours.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        Err(Failure::last("open", path.to_str().ok()))
    } else {
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
