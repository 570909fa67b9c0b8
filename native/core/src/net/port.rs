use super::parse_address;
use crate::failure::{Code, Failure, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

/// Reserves a host port with a socket that is bound and never read. Another program, or another call of this function, that wants the port
/// gets an error. Port 0 takes any free port, which is returned. Fails with `AlreadyExists` if the port is in use.
pub fn reserve_port(protocol: &str, address: &str, port: u16) -> Result<(OwnedFd, u16)> {
    let kind = match protocol {
        "tcp" => SocketType::STREAM,
        "udp" => SocketType::DGRAM,
        _ => {
            return Err(Failure::new(
                Code::Unsupported,
                format!("ports of {protocol} can't be published; tcp and udp can"),
            ));
        }
    };
    let wanted = SocketAddr::new(parse_address(address)?, port);
    let bound = bind(kind, &wanted).and_then(|socket| {
        // std can read any socket's address; no data goes through this socket.
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

/// Binds a socket without SO_REUSEADDR, so that no other socket shares the port, and without listening, so that no connection that bypasses
/// the firewall's map is accepted.
fn bind(kind: SocketType, address: &SocketAddr) -> std::io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, address)?;
    Ok(socket)
}
