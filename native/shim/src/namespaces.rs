//! Namespaces that come before the container and live as long as a descriptor of the shim, which itself stays in the host's.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use tsbox_core::container::namespaces::{self, NETWORK, USER};
use tsbox_core::failure::{Failure, Result};
use tsbox_core::id_maps::IdMaps;

pub struct Namespaces {
    pub network: Option<OwnedFd>,
    pub user: Option<OwnedFd>,
}

impl Namespaces {
    /// A network namespace belongs to the user namespace that it was made in: with id maps both are made at once, by a process of the
    /// moment.
    pub fn make(network: bool, id_maps: Option<&IdMaps>) -> Result<Namespaces> {
        let made = match id_maps {
            Some(maps) => {
                let flags = USER | if network { NETWORK } else { 0 };
                let mut held = namespaces::hold(flags, maps).map_err(|failure| failure.at("user namespace"))?;
                let user = held.pop();
                let made = Namespaces { network: held.pop(), user };
                if let Some(network) = &made.network {
                    within(network, loopback)?;
                }
                return Ok(made);
            }
            None if network => Some(make_network()?),
            None => None,
        };
        Ok(Namespaces { network: made, user: None })
    }
}

fn make_network() -> Result<OwnedFd> {
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

fn within(network: &OwnedFd, work: fn() -> Result<()>) -> Result<()> {
    let host = current()?;
    namespaces::join(network.as_fd(), NETWORK)?;
    let result = work();
    namespaces::join(host.as_fd(), NETWORK)?;
    result
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
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) < 0 {
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
