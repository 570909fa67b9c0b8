//! Network interfaces: bridges, veth pairs, addresses (rtnetlink(7)).

use super::netlink::{self, CREATE, DUMP, EXCLUSIVE, Message, Socket, attribute};
use super::{Cidr, Macvlan, Veth, octets};
use crate::failure::{Code, Failure, Result};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsRawFd, BorrowedFd};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const VETH_INFO_PEER: u16 = 1;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_VLAN_ID: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// An address that the engine chose needs no duplicate detection, which takes a second.
const IFA_F_NODAD: u32 = 2;

#[derive(Clone, Debug, Deserialize)]
pub struct Bridge {
    pub name: String,
    pub addresses: Vec<String>,
    /// None: the bridge takes the MAC of its lowest port, and changes with it.
    pub mac: Option<String>,
    pub mtu: Option<u32>,
}

/// One VLAN of an interface, as an interface of its own.
#[derive(Clone, Debug, Deserialize)]
pub struct Vlan {
    pub name: String,
    pub parent: String,
    pub id: u16,
    pub alias: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    pub index: i32,
    pub name: String,
    pub mac: String,
    /// "bridge", "veth" …; empty for hardware.
    pub kind: String,
    /// Free text that the creator set.
    pub alias: Option<String>,
}

fn header(index: i32, flags: i32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    // ifi_change: the mask of the flags to change.
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// Makes a bridge of that name, up, with those addresses. Existing ones stay. Fails with `AlreadyExists` if another kind of interface has
/// the name.
pub fn ensure_bridge(bridge: &Bridge) -> Result<()> {
    let mut socket = Socket::open(libc::NETLINK_ROUTE)?;
    let mut message = Message::new(RTM_NEWLINK, CREATE | EXCLUSIVE, &header(0, libc::IFF_UP));
    message.text(IFLA_IFNAME, check_name(&bridge.name)?);
    if let Some(mac) = &bridge.mac {
        message.put(IFLA_ADDRESS, &parse_mac(mac)?);
    }
    if let Some(mtu) = bridge.mtu {
        message.number(IFLA_MTU, mtu);
    }
    message.nest(IFLA_LINKINFO, |info| {
        info.put(IFLA_INFO_KIND, b"bridge");
    });
    match socket.request(message, "make bridge", &bridge.name) {
        Err(failure) if failure.errno != Some(libc::EEXIST) => return Err(failure),
        _ => {}
    }
    let link = find(&mut socket, &bridge.name)?;
    if link.kind != "bridge" {
        return Err(Failure::new(
            Code::AlreadyExists,
            format!("{} is no bridge; another program's interface has this name", bridge.name),
        ));
    }
    up(&mut socket, &bridge.name)?;
    bridge
        .addresses
        .iter()
        .try_for_each(|address| add_address(&mut socket, link.index, &Cidr::parse(address)?))
}

/// Makes a veth pair with one message, which also adds one end to the bridge and sets it up, and moves the other into its namespace.
pub(super) fn make_veth(veth: &Veth, netns: BorrowedFd) -> Result<()> {
    let mut socket = Socket::open(libc::NETLINK_ROUTE)?;
    let bridge = find(&mut socket, &veth.bridge)?;
    let mac = veth.mac.as_deref().map(parse_mac).transpose()?;
    let (name, interface) = (check_name(&veth.name)?, check_name(&veth.interface)?);
    let mut message = Message::new(RTM_NEWLINK, CREATE | EXCLUSIVE, &header(0, libc::IFF_UP));
    message.text(IFLA_IFNAME, name).number(IFLA_MASTER, bridge.index as u32);
    if let Some(mtu) = veth.mtu {
        message.number(IFLA_MTU, mtu);
    }
    message.nest(IFLA_LINKINFO, |info| {
        info.put(IFLA_INFO_KIND, b"veth").nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |peer| {
                // IFF_UP for the peer would fail with ENOTCONN. It is set up inside the namespace.
                peer.raw(&header(0, 0))
                    .text(IFLA_IFNAME, interface)
                    .number(IFLA_NET_NS_FD, netns.as_raw_fd() as u32);
                if let Some(mac) = mac {
                    peer.put(IFLA_ADDRESS, &mac);
                }
                if let Some(mtu) = veth.mtu {
                    peer.number(IFLA_MTU, mtu);
                }
            });
        });
    });
    socket.request(message, "make veth", &veth.name)?;
    if veth.alias.is_none() && !veth.hairpin {
        return Ok(());
    }
    // The message that makes a link supports neither.
    let mut message = Message::new(RTM_NEWLINK, 0, &header(0, 0));
    message.text(IFLA_IFNAME, name);
    if let Some(alias) = &veth.alias {
        message.put(IFLA_IFALIAS, alias.as_bytes());
    }
    if veth.hairpin {
        message.nest(IFLA_LINKINFO, |info| {
            info.put(IFLA_INFO_SLAVE_KIND, b"bridge").nest(IFLA_INFO_SLAVE_DATA, |data| {
                data.put(IFLA_BRPORT_MODE, &[1]);
            });
        });
    }
    socket.request(message, "name veth", &veth.name).inspect_err(|_| {
        let _ = remove_link(&veth.name);
    })
}

/// Makes a macvlan interface with one message, in its namespace from the outset, so that its name may be in use in this one.
pub(super) fn make_macvlan(macvlan: &Macvlan, netns: BorrowedFd) -> Result<()> {
    let mut socket = Socket::open(libc::NETLINK_ROUTE)?;
    let parent = find(&mut socket, &macvlan.parent)?;
    let mut message = Message::new(RTM_NEWLINK, CREATE | EXCLUSIVE, &header(0, 0));
    message
        .text(IFLA_IFNAME, check_name(&macvlan.interface)?)
        .number(IFLA_LINK, parent.index as u32)
        .number(IFLA_NET_NS_FD, netns.as_raw_fd() as u32);
    if let Some(mac) = &macvlan.mac {
        message.put(IFLA_ADDRESS, &parse_mac(mac)?);
    }
    if let Some(mtu) = macvlan.mtu {
        message.number(IFLA_MTU, mtu);
    }
    message.nest(IFLA_LINKINFO, |info| {
        info.put(IFLA_INFO_KIND, b"macvlan").nest(IFLA_INFO_DATA, |data| {
            data.number(IFLA_MACVLAN_MODE, macvlan.mode as u32);
        });
    });
    socket
        .request(message, "make macvlan", &macvlan.interface)
        .map_err(|failure| unsupported(failure, "macvlan"))
}

/// Makes a VLAN's interface, up. Fails with `AlreadyExists` if the name is in use, `NotFound` if there is no such parent.
pub fn make_vlan(vlan: &Vlan) -> Result<()> {
    let mut socket = Socket::open(libc::NETLINK_ROUTE)?;
    let parent = find(&mut socket, &vlan.parent)?;
    let name = check_name(&vlan.name)?;
    let mut message = Message::new(RTM_NEWLINK, CREATE | EXCLUSIVE, &header(0, 0));
    message.text(IFLA_IFNAME, name).number(IFLA_LINK, parent.index as u32);
    message.nest(IFLA_LINKINFO, |info| {
        info.put(IFLA_INFO_KIND, b"vlan").nest(IFLA_INFO_DATA, |data| {
            data.put(IFLA_VLAN_ID, &vlan.id.to_ne_bytes());
        });
    });
    socket
        .request(message, "make vlan", name)
        .map_err(|failure| unsupported(failure, "VLAN"))?;
    // The message that makes a link supports no alias. The parent may be down: then the kernel refuses to set the VLAN up.
    let mut message = Message::new(RTM_NEWLINK, 0, &header(0, libc::IFF_UP));
    message.text(IFLA_IFNAME, name);
    if let Some(alias) = &vlan.alias {
        message.put(IFLA_IFALIAS, alias.as_bytes());
    }
    socket.request(message, "set link up", name).inspect_err(|_| {
        let _ = remove_link(name);
    })
}

/// The kernel's answer to a kind of interface that it does not have is a plain EOPNOTSUPP.
fn unsupported(failure: Failure, kind: &str) -> Failure {
    match failure.errno {
        Some(libc::EOPNOTSUPP) => Failure {
            code: Code::Unsupported,
            message: format!("this kernel has no {kind} interfaces; load its module, or use another network driver"),
            ..failure
        },
        _ => failure,
    }
}

pub(super) fn up(socket: &mut Socket, name: &str) -> Result<()> {
    let mut message = Message::new(RTM_NEWLINK, 0, &header(0, libc::IFF_UP));
    message.text(IFLA_IFNAME, check_name(name)?);
    socket.request(message, "set link up", name)
}

pub fn set_up(name: &str) -> Result<()> {
    up(&mut Socket::open(libc::NETLINK_ROUTE)?, name)
}

/// Adds an address. An existing address is no error.
pub(super) fn add_address(socket: &mut Socket, index: i32, cidr: &Cidr) -> Result<()> {
    let mut header = [cidr.family(), cidr.prefix, 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut message = Message::new(RTM_NEWADDR, CREATE | EXCLUSIVE, &header);
    let bytes = octets(cidr.address);
    message.put(IFA_LOCAL, &bytes).put(IFA_ADDRESS, &bytes);
    if cidr.address.is_ipv6() {
        message.number(IFA_FLAGS, IFA_F_NODAD);
    }
    match socket.request(message, "add address", &cidr.address.to_string()) {
        Err(failure) if failure.errno == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

/// Removes an interface. Fails with `NotFound` if there is none.
pub fn remove_link(name: &str) -> Result<()> {
    let mut message = Message::new(RTM_DELLINK, 0, &header(0, 0));
    message.text(IFLA_IFNAME, check_name(name)?);
    let removed = Socket::open(libc::NETLINK_ROUTE)?.request(message, "remove link", name);
    removed.map_err(|failure| absent(failure, name))
}

/// All interfaces whose names begin with `prefix`.
pub fn links(prefix: &str) -> Result<Vec<Link>> {
    let answers = Socket::open(libc::NETLINK_ROUTE)?.gather(Message::new(RTM_GETLINK, 0, &header(0, 0)), DUMP, "list links", "")?;
    Ok(answers
        .iter()
        .filter_map(|(_, payload)| parse(payload))
        .filter(|link| link.name.starts_with(prefix))
        .collect())
}

pub(super) fn find(socket: &mut Socket, name: &str) -> Result<Link> {
    let mut message = Message::new(RTM_GETLINK, 0, &header(0, 0));
    message.text(IFLA_IFNAME, check_name(name)?);
    let answers = socket
        .gather(message, netlink::ACK, "find link", name)
        .map_err(|failure| absent(failure, name))?;
    answers
        .first()
        .and_then(|(_, payload)| parse(payload))
        .ok_or_else(|| Failure::new(Code::NotFound, format!("no interface {name}")))
}

fn absent(failure: Failure, name: &str) -> Failure {
    match failure.errno {
        Some(libc::ENODEV) => Failure {
            code: Code::NotFound,
            message: format!("no interface {name}"),
            ..failure
        },
        _ => failure,
    }
}

fn parse(payload: &[u8]) -> Option<Link> {
    let (header, rest) = payload.split_at_checked(16)?;
    let kind = attribute(rest, IFLA_LINKINFO)
        .and_then(|info| attribute(info, IFLA_INFO_KIND))
        .map(netlink::text);
    let mac = attribute(rest, IFLA_ADDRESS)
        .unwrap_or_default()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":");
    let index = i32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    Some(Link {
        index,
        name: netlink::text(attribute(rest, IFLA_IFNAME)?),
        mac,
        kind: kind.unwrap_or_default(),
        alias: attribute(rest, IFLA_IFALIAS).map(netlink::text),
    })
}

/// Checks IFNAMSIZ and the names that the kernel refuses with a plain EINVAL.
fn check_name(name: &str) -> Result<&str> {
    let bad = name.is_empty()
        || name.len() > 15
        || name == "."
        || name == ".."
        || name.contains(|byte: char| byte == '/' || byte.is_whitespace() || byte == '\0');
    if bad {
        Err(Failure::new(
            Code::InvalidArgument,
            format!("{name:?} is no name for an interface: 1 to 15 characters, no slash or space"),
        ))
    } else {
        Ok(name)
    }
}

fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2))
        .collect();
    let mac = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
    mac.ok_or_else(|| {
        Failure::new(
            Code::InvalidArgument,
            format!("{text} is no hardware address, such as 02:42:0a:58:00:02"),
        )
    })
}
