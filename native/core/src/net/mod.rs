//! Networks by netlink, in this process: links, addresses and routes (rtnetlink), the firewall (nftables), ports.
//!
//! Work in another network namespace runs on a separate thread, which joins that namespace and ends there (see [`namespace`]).

pub mod firewall;
mod firewall_codec;
mod firewall_words;
mod link;
pub mod namespace;
mod netlink;
mod port;
mod route;

/// For [`crate::fuzzing`].
#[cfg(any(feature = "fuzzing", all(test, feature = "layer")))]
pub(crate) use {firewall_codec::decode_elements, netlink::decode as decode_messages};

pub use link::{Bridge, Link, Vlan, ensure_bridge, links, make_vlan, remove_link, set_up};
pub use port::reserve_port;
pub use route::{Route, host_routes};

use crate::failure::{Code, Failure, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

/// A veth pair: one end on a bridge of the host, the other in a container's namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Veth {
    /// The name of the host's end.
    pub name: String,
    pub bridge: String,
    /// The path of the namespace, and the interface's name there.
    pub netns: String,
    pub interface: String,
    /// Free text of at most 255 bytes, stored with the host's end.
    pub alias: Option<String>,
    /// The bridge may send packets back to the port from which they came, for example when a container uses its own published port.
    pub hairpin: bool,
    pub mac: Option<String>,
    pub mtu: Option<u32>,
    /// Addresses with their prefix lengths: "10.88.0.2/16".
    pub addresses: Vec<String>,
    pub routes: Vec<NewRoute>,
}

/// A macvlan interface in a container's namespace: a further hardware address of an interface of the host.
#[derive(Clone, Debug, Deserialize)]
pub struct Macvlan {
    pub parent: String,
    pub mode: MacvlanMode,
    /// The path of the namespace, and the interface's name there.
    pub netns: String,
    pub interface: String,
    pub mac: Option<String>,
    pub mtu: Option<u32>,
    pub addresses: Vec<String>,
    pub routes: Vec<NewRoute>,
}

/// linux/if_link.h
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    Private = 1,
    Vepa = 2,
    Bridge = 4,
    Passthru = 8,
}

#[derive(Clone, Debug, Deserialize)]
pub struct NewRoute {
    pub to: String,
    pub via: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Attached {
    pub mac: String,
}

/// Makes the pair, sets both ends up and adds the addresses of the inner one. Fails with `AlreadyExists` if a name is in use. A failure
/// leaves nothing behind.
pub fn attach(veth: &Veth) -> Result<Attached> {
    let netns = File::open(&veth.netns).map_err(|error| Failure::io(&error, "open", Some(&veth.netns)))?;
    link::make_veth(veth, netns.as_fd())?;
    let inside = namespace::within(netns.as_fd(), || configure(&veth.interface, &veth.addresses, &veth.routes));
    inside.inspect_err(|_| {
        // The pair would disappear with its namespace, but a process that examines the failure may keep that open.
        let _ = remove_link(&veth.name);
    })
}

/// Makes the interface, sets it up and adds its addresses and routes. Fails with `AlreadyExists` if the namespace has one of that name,
/// `NotFound` if there is no such parent. A failure leaves nothing behind.
pub fn attach_macvlan(macvlan: &Macvlan) -> Result<Attached> {
    let netns = File::open(&macvlan.netns).map_err(|error| Failure::io(&error, "open", Some(&macvlan.netns)))?;
    link::make_macvlan(macvlan, netns.as_fd())?;
    namespace::within(netns.as_fd(), || {
        configure(&macvlan.interface, &macvlan.addresses, &macvlan.routes).inspect_err(|_| {
            let _ = remove_link(&macvlan.interface);
        })
    })
}

/// Inside the namespace: loopback up, then the interface with its addresses and routes.
fn configure(interface: &str, addresses: &[String], routes: &[NewRoute]) -> Result<Attached> {
    let mut socket = netlink::Socket::open(libc::NETLINK_ROUTE)?;
    link::up(&mut socket, "lo")?;
    let inner = link::find(&mut socket, interface)?;
    for address in addresses {
        link::add_address(&mut socket, inner.index, &Cidr::parse(address)?)?;
    }
    link::up(&mut socket, interface)?;
    for route in routes {
        route::add(&mut socket, inner.index, route)?;
    }
    Ok(Attached { mac: inner.mac })
}

/// Removes an interface in another namespace. Fails with `NotFound` if there is none, or if the namespace is gone.
pub fn remove_link_within(path: &str, name: &str) -> Result<()> {
    let netns = File::open(path).map_err(|error| Failure::io(&error, "open", Some(path)))?;
    namespace::within(netns.as_fd(), || remove_link(name))
}

/// Sets the loopback interface up, for a namespace without a network.
pub fn loopback(path: &str) -> Result<()> {
    let netns = File::open(path).map_err(|error| Failure::io(&error, "open", Some(path)))?;
    namespace::within(netns.as_fd(), || link::up(&mut netlink::Socket::open(libc::NETLINK_ROUTE)?, "lo"))
}

/// An address with its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

impl Cidr {
    pub fn parse(text: &str) -> Result<Self> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            Some(Cidr {
                address: address.parse().ok()?,
                prefix: prefix.parse().ok()?,
            })
        });
        parsed
            .filter(|cidr| cidr.prefix <= if cidr.address.is_ipv4() { 32 } else { 128 })
            .ok_or_else(|| {
                Failure::new(
                    Code::InvalidArgument,
                    format!("{text} is no address with a prefix length, such as 10.88.0.2/16"),
                )
            })
    }

    pub fn family(&self) -> u8 {
        family(self.address)
    }
}

pub(crate) fn parse_address(text: &str) -> Result<IpAddr> {
    text.parse()
        .map_err(|_| Failure::new(Code::InvalidArgument, format!("{text} is no IP address")))
}

pub(crate) fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Whether this kernel and these privileges suffice for bridges, pairs and the firewall. Tries them in a temporary namespace.
pub fn probe() -> Result<()> {
    namespace::in_new(|| {
        ensure_bridge(&Bridge {
            name: "probe0".to_owned(),
            addresses: vec!["192.0.2.1/24".to_owned()],
            mac: None,
            mtu: None,
        })?;
        let own = File::open("/proc/thread-self/ns/net").map_err(|error| Failure::io(&error, "open", Some("/proc/thread-self/ns/net")))?;
        let veth = Veth {
            name: "probe1".to_owned(),
            bridge: "probe0".to_owned(),
            netns: format!("/proc/thread-self/fd/{}", own.as_raw_fd()),
            interface: "probe2".to_owned(),
            alias: None,
            hairpin: true,
            mac: None,
            mtu: None,
            addresses: Vec::new(),
            routes: Vec::new(),
        };
        link::make_veth(&veth, own.as_fd())?;
        firewall::probe()
    })
}

#[cfg(test)]
mod tests;
