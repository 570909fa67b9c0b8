use super::parse_address;
use crate::failure::{Code, Failure, Result};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A host port held by a socket that is bound and never read: a program that wants it is told that it is taken, and so are we.
/// Port 0 takes any free one; the answer says which. `AlreadyExists`: it is taken.
pub fn reserve_port(protocol: &str, address: &str, port: u16) -> Result<(OwnedFd, u16)> {
    let kind = match protocol {
        "tcp" => libc::SOCK_STREAM,
        "udp" => libc::SOCK_DGRAM,
        _ => {
            return Err(Failure::new(
                Code::Unsupported,
                format!("ports of {protocol} can't be published; tcp and udp can"),
            ));
        }
    };
    let wanted = SocketAddr::new(parse_address(address)?, port);
    let bound = bind(kind, &wanted).and_then(|socket| {
        // Any socket tells its address through std; no stream ever goes through this one.
        let socket = UdpSocket::from(socket);
        let port = socket.local_addr()?.port();
        Ok((OwnedFd::from(socket), port))
    });
    bound.map_err(|error| {
        let mut failure = Failure::io(&error, "bind", Some(&wanted.to_string()));
        if failure.errno == Some(libc::EADDRINUSE) {
            failure.message = format!("port {port}/{protocol} on {address} is taken; stop what uses it, or publish another one");
        }
        failure
    })
}

/// Bound without SO_REUSEADDR, so that nobody shares it, and not listening, so that nothing that slips past the firewall's map is accepted.
fn bind(kind: i32, address: &SocketAddr) -> std::io::Result<OwnedFd> {
    let check = |result: i32| {
        if result < 0 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(result)
        }
    };
    // SAFETY: plain system calls; the address structures live through them.
    unsafe {
        match address {
            SocketAddr::V4(address) => {
                let fd = OwnedFd::from_raw_fd(check(libc::socket(libc::AF_INET, kind | libc::SOCK_CLOEXEC, 0))?);
                let mut raw: libc::sockaddr_in = std::mem::zeroed();
                raw.sin_family = libc::AF_INET as u16;
                raw.sin_port = address.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                check(libc::bind(fd.as_raw_fd(), (&raw const raw).cast(), size_of_val(&raw) as u32))?;
                Ok(fd)
            }
            SocketAddr::V6(address) => {
                let fd = OwnedFd::from_raw_fd(check(libc::socket(libc::AF_INET6, kind | libc::SOCK_CLOEXEC, 0))?);
                let only: i32 = 1;
                check(libc::setsockopt(
                    fd.as_raw_fd(),
                    libc::IPPROTO_IPV6,
                    libc::IPV6_V6ONLY,
                    (&raw const only).cast(),
                    4,
                ))?;
                let mut raw: libc::sockaddr_in6 = std::mem::zeroed();
                raw.sin6_family = libc::AF_INET6 as u16;
                raw.sin6_port = address.port().to_be();
                raw.sin6_addr.s6_addr = address.ip().octets();
                check(libc::bind(fd.as_raw_fd(), (&raw const raw).cast(), size_of_val(&raw) as u32))?;
                Ok(fd)
            }
        }
    }
}
