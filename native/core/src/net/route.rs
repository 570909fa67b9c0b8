use super::netlink::{CREATE, DUMP, EXCLUSIVE, Message, Socket, attribute};
use super::{Cidr, NewRoute, octets, parse_address};
use crate::failure::Result;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// "0.0.0.0/0" is the default route.
    pub to: String,
    /// The interface's index.
    pub interface: Option<u32>,
}

/// Adds a route through `index`. An existing route is no error.
pub(super) fn add(socket: &mut Socket, index: i32, route: &NewRoute) -> Result<()> {
    let to = Cidr::parse(&route.to)?;
    let scope = if route.via.is_some() { 0 } else { RT_SCOPE_LINK };
    let header = [
        to.family(),
        to.prefix,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_BOOT,
        scope,
        RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let mut message = Message::new(RTM_NEWROUTE, CREATE | EXCLUSIVE, &header);
    if to.prefix > 0 {
        message.put(RTA_DST, &octets(to.address));
    }
    message.number(RTA_OIF, index as u32);
    if let Some(via) = &route.via {
        message.put(RTA_GATEWAY, &octets(parse_address(via)?));
    }
    match socket.request(message, "add route", &route.to) {
        Err(failure) if failure.errno == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

/// The routes of the main table, IPv4 and IPv6, which a new network's subnet must not overlap.
pub fn host_routes() -> Result<Vec<Route>> {
    let mut socket = Socket::open(libc::NETLINK_ROUTE)?;
    let mut routes = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut header = [0; 12];
        header[0] = family as u8;
        let answers = socket.gather(Message::new(RTM_GETROUTE, 0, &header), DUMP, "list routes", "")?;
        routes.extend(answers.iter().filter_map(|(_, payload)| parse(payload)));
    }
    Ok(routes)
}

fn parse(payload: &[u8]) -> Option<Route> {
    let (header, rest) = payload.split_at_checked(12)?;
    if header[4] != RT_TABLE_MAIN || header[7] != RTN_UNICAST {
        return None;
    }
    let address = match attribute(rest, RTA_DST) {
        Some(bytes) => match <[u8; 4]>::try_from(bytes) {
            Ok(bytes) => IpAddr::from(bytes),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        },
        None if i32::from(header[0]) == libc::AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let interface = attribute(rest, RTA_OIF)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes);
    Some(Route {
        to: format!("{address}/{}", header[1]),
        interface,
    })
}
