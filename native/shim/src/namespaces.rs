//! Namespaces that exist before the container. Each lives as long as the shim's descriptor of it; the shim itself stays in the host's
//! namespaces.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use tsbox_core::container::namespaces::{self, NETWORK, USER};
use tsbox_core::failure::Result;
use tsbox_core::id_maps::IdMaps;
use tsbox_core::sys::{self, Call};

pub struct Namespaces {
    pub network: Option<OwnedFd>,
    pub user: Option<OwnedFd>,
}

impl Namespaces {
    /// A network namespace belongs to the user namespace in which it was made. With id maps, a short-lived process makes both at once.
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
    namespaces::unshare(NETWORK).map_err(|failure| failure.at("network namespace"))?;
    let made = current().and_then(|made| loopback().map(|()| made));
    namespaces::join(host.as_fd(), NETWORK).map_err(|failure| failure.at("network namespace"))?;
    made
}

fn within(network: &OwnedFd, work: fn() -> Result<()>) -> Result<()> {
    let host = current()?;
    namespaces::join(network.as_fd(), NETWORK)?;
    let result = work();
    namespaces::join(host.as_fd(), NETWORK)?;
    result
}

/// A new namespace's loopback interface is down. Every container needs it up, whatever its network. rustix has no call for an interface's
/// flags.
fn loopback() -> Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .call("socket", None)
        .map_err(|failure| failure.at("network namespace"))?;
    // SAFETY: ifreq is numbers and a union of numbers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) };
    sys::check(set.into(), "ioctl(SIOCSIFFLAGS)", Some("lo"))
        .map(drop)
        .map_err(|failure| failure.at("network namespace"))
}

fn current() -> Result<OwnedFd> {
    sys::open("/proc/self/ns/net", libc::O_RDONLY)
}
