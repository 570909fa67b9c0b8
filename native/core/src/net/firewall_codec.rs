//! The binary format of nftables (linux/netfilter/nf_tables.h): keys, sets, and the expressions of rules.
//!
//! Rules compute in registers of four bytes. A key of several parts is stored in consecutive registers, each part padded to a multiple of
//! four.

use super::Cidr;
use super::firewall_words::{Element, Part, Set, Test, Verdict, invalid};
use super::netlink::{Message, attribute, text};
use crate::failure::Result;
use std::net::Ipv4Addr;

/// NFT_REG32_00; the verdict has a separate register, 0.
const FIRST: u32 = 8;
const VERDICT: u32 = 0;
const ACCEPT: u32 = 1;
const DROP: u32 = 0;

const SET_INTERVAL: u32 = 4;
const SET_MAP: u32 = 8;
const INTERVAL_END: u32 = 1;

impl Part {
    /// nft's numbers for types, which its listings use.
    fn type_number(self) -> u32 {
        match self {
            Part::Address => 7,
            Part::Protocol => 12,
            Part::Port => 13,
            Part::Interface => 41,
        }
    }

    fn length(self) -> usize {
        match self {
            Part::Address => 4,
            Part::Protocol => 1,
            Part::Port => 2,
            Part::Interface => 16,
        }
    }

    fn registers(self) -> u32 {
        self.length().div_ceil(4) as u32
    }

    fn encode(self, value: &str) -> Result<Vec<u8>> {
        let bytes = match self {
            Part::Address => value.parse::<Ipv4Addr>().ok().map(|address| address.octets().to_vec()),
            Part::Port => value.parse::<u16>().ok().map(|port| port.to_be_bytes().to_vec()),
            Part::Protocol => match value {
                "tcp" => Some(vec![6]),
                "udp" => Some(vec![17]),
                "sctp" => Some(vec![132]),
                _ => None,
            },
            Part::Interface if value.len() < 16 => {
                let mut bytes = value.as_bytes().to_vec();
                bytes.resize(16, 0);
                Some(bytes)
            }
            Part::Interface => None,
        };
        bytes.ok_or_else(|| invalid(format!("{value:?} is no {self:?} for the firewall")))
    }

    fn decode(self, bytes: &[u8]) -> String {
        match (self, bytes) {
            (Part::Address, [a, b, c, d]) => Ipv4Addr::new(*a, *b, *c, *d).to_string(),
            (Part::Port, [high, low]) => u16::from_be_bytes([*high, *low]).to_string(),
            (Part::Protocol, [6]) => "tcp".to_owned(),
            (Part::Protocol, [17]) => "udp".to_owned(),
            (Part::Protocol, [number]) => number.to_string(),
            _ => text(bytes),
        }
    }
}

/// Encodes a key or value with all its parts. A single part is not padded.
fn encode(parts: &[Part], values: &[String]) -> Result<Vec<u8>> {
    if parts.len() != values.len() {
        return Err(invalid(format!("{values:?} has not the {} parts of its set", parts.len())));
    }
    let mut bytes = Vec::new();
    for (part, value) in parts.iter().zip(values) {
        bytes.extend(part.encode(value)?);
        if parts.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    Ok(bytes)
}

fn decode(parts: &[Part], bytes: &[u8]) -> Option<Vec<String>> {
    let mut at = 0;
    let mut values = Vec::new();
    for part in parts {
        values.push(part.decode(bytes.get(at..at + part.length())?));
        at += part.length().next_multiple_of(4);
    }
    Some(values)
}

fn length(parts: &[Part]) -> u32 {
    match parts {
        [one] => one.length() as u32,
        _ => parts.iter().map(|part| part.registers() * 4).sum(),
    }
}

/// Six bits per part, as nft decodes it.
fn type_of(parts: &[Part]) -> u32 {
    parts.iter().fold(0, |number, part| number << 6 | part.type_number())
}

pub fn set(message: &mut Message, table: &str, set: &Set) {
    let flags = if set.interval { SET_INTERVAL } else { 0 } | if set.value.is_some() { SET_MAP } else { 0 };
    message
        .text(1, table)
        .text(2, &set.name)
        .big(3, flags)
        .big(4, type_of(&set.key))
        .big(5, length(&set.key));
    if let Some(value) = &set.value {
        message.big(6, type_of(value)).big(7, length(value));
    }
    // An id by which rules of the same transaction could refer to the set. Our rules refer to it by name, but the kernel requires an id.
    message.big(10, 1);
}

pub fn element(message: &mut Message, table: &str, set: &Set, element: &Element) -> Result<()> {
    let value = match (&set.value, &element.value) {
        (Some(parts), Some(value)) => Some(encode(parts, value)?),
        (None, None) => None,
        _ => {
            return Err(invalid(format!(
                "an element of {0} needs a value exactly when {0} is a map",
                set.name
            )));
        }
    };
    let rest = |made: &mut Message| {
        if let Some(value) = &value {
            made.nest(2, |data| {
                data.put(1, value);
            });
        }
        if let Some(comment) = &element.comment {
            // libnftables' records: type 0 is a comment, with its NUL.
            let text = &comment.as_bytes()[..comment.len().min(127)];
            let record = [&[0, text.len() as u8 + 1], text, &[0]].concat();
            made.put(6, &record);
        }
    };
    put(message, table, set, &element.key, rest)
}

/// Writes only the key of an element, which identifies it.
pub fn key_alone(message: &mut Message, table: &str, set: &Set, key: &[String]) -> Result<()> {
    put(message, table, set, key, |_| {})
}

fn put(message: &mut Message, table: &str, set: &Set, key: &[String], rest: impl FnOnce(&mut Message)) -> Result<()> {
    let (start, end) = if set.interval {
        range(key)?
    } else {
        (encode(&set.key, key)?, None)
    };
    let bytes = |made: &mut Message, bytes: &[u8]| {
        made.nest(1, |key| {
            key.put(1, bytes);
        });
    };
    message.text(1, table).text(2, &set.name).nest(3, |list| {
        list.nest(1, |made| {
            bytes(made, &start);
            rest(made);
        });
        if let Some(end) = end {
            list.nest(1, |made| {
                bytes(made, &end);
                made.big(3, INTERVAL_END);
            });
        }
    });
    Ok(())
}

/// The first address, and the address after the last; None at the end of the address space.
fn range(key: &[String]) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let [text] = key else {
        return Err(invalid(format!("{key:?}: an interval has one part")));
    };
    let cidr = Cidr::parse(text)?;
    let std::net::IpAddr::V4(address) = cidr.address else {
        return Err(invalid(format!("{text} is no IPv4 range")));
    };
    let size = 1u64 << (32 - cidr.prefix);
    let start = u64::from(u32::from(address)) & !(size - 1);
    let end = u32::try_from(start + size).ok().map(|end| end.to_be_bytes().to_vec());
    Ok(((start as u32).to_be_bytes().to_vec(), end))
}

pub fn parse_element(bytes: &[u8], set: &Set) -> Option<Element> {
    let data = |kind| attribute(bytes, kind).and_then(|nest| attribute(nest, 1));
    let comment = attribute(bytes, 6).and_then(|record| match record {
        [0, length, rest @ ..] => rest.get(..usize::from(*length)).map(text),
        _ => None,
    });
    let value = match &set.value {
        Some(parts) => Some(decode(parts, data(2)?)?),
        None => None,
    };
    Some(Element {
        key: decode(&set.key, data(1)?)?,
        value,
        comment,
    })
}

/// For [`crate::fuzzing`]: decodes elements of sets of each shape.
#[cfg(any(feature = "fuzzing", all(test, feature = "layer")))]
pub fn decode_elements(bytes: &[u8]) {
    use Part::{Address, Interface, Port, Protocol};
    let shapes: [(&[Part], Option<&[Part]>); 3] = [
        (&[Address], None),
        (&[Protocol, Port], Some(&[Address, Port])),
        (&[Interface, Address], None),
    ];
    for (key, value) in shapes {
        let set = Set {
            name: String::new(),
            key: key.to_vec(),
            value: value.map(<[Part]>::to_vec),
            interval: false,
        };
        parse_element(bytes, &set);
    }
}

/// An expression of a rule, with the kernel's name and attributes.
pub enum Expression {
    Meta { key: u32, to: u32 },
    Payload { base: u32, offset: u32, length: u32, to: u32 },
    Mask { mask: Vec<u8> },
    Connection { key: u32 },
    AddressType,
    Compare { equal: bool, value: Vec<u8> },
    Lookup { set: String, not: bool, to: Option<u32> },
    Translate,
    Masquerade,
    Verdict(u32),
}

const META_IN: u32 = 6;
const META_OUT: u32 = 7;
const META_PROTOCOL: u32 = 16;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
const STATE: u32 = 0;
const STATUS: u32 = 2;

/// Registers contain host-endian numbers if the kernel computes them, and bytes of the packet if the kernel reads those.
pub fn rule(tests: &[Test], verdict: &Verdict) -> Result<Vec<Expression>> {
    let mut out = Vec::new();
    let lookup = |set: &str, not| Expression::Lookup {
        set: set.to_owned(),
        not,
        to: None,
    };
    let address = |offset| Expression::Payload {
        base: NETWORK,
        offset,
        length: 4,
        to: FIRST,
    };
    for test in tests {
        match test {
            Test::InterfaceIn { set, not } => out.extend([Expression::Meta { key: META_IN, to: FIRST }, lookup(set, *not)]),
            Test::InterfaceOut { set, not } => out.extend([Expression::Meta { key: META_OUT, to: FIRST }, lookup(set, *not)]),
            Test::InterfacePair { set } => {
                out.extend([
                    Expression::Meta { key: META_IN, to: FIRST },
                    Expression::Meta {
                        key: META_OUT,
                        to: FIRST + 4,
                    },
                    lookup(set, false),
                ]);
            }
            Test::SourceIn { set } => out.extend([address(SOURCE), lookup(set, false)]),
            Test::Source { cidr } => out.extend(within(address(SOURCE), cidr)?),
            Test::Destination { cidr } => out.extend(within(address(DESTINATION), cidr)?),
            Test::DestinationLocal => {
                const RTN_LOCAL: u32 = 2;
                out.extend([
                    Expression::AddressType,
                    Expression::Compare {
                        equal: true,
                        value: RTN_LOCAL.to_ne_bytes().to_vec(),
                    },
                ]);
            }
            // Bits of NF_CT_STATE: established 2, related 4.
            Test::Established => out.extend(any_bit(STATE, 2 | 4)),
            // IPS_DST_NAT.
            Test::DestinationTranslated => out.extend(any_bit(STATUS, 1 << 5)),
        }
    }
    match verdict {
        Verdict::Accept => out.push(Expression::Verdict(ACCEPT)),
        Verdict::Drop => out.push(Expression::Verdict(DROP)),
        Verdict::Masquerade => out.push(Expression::Masquerade),
        Verdict::Translate { map, key } => {
            let mut register = FIRST;
            for part in key {
                out.push(match part {
                    Part::Protocol => Expression::Meta {
                        key: META_PROTOCOL,
                        to: register,
                    },
                    Part::Address => Expression::Payload {
                        base: NETWORK,
                        offset: DESTINATION,
                        length: 4,
                        to: register,
                    },
                    Part::Port => Expression::Payload {
                        base: TRANSPORT,
                        offset: 2,
                        length: 2,
                        to: register,
                    },
                    Part::Interface => return Err(invalid("an interface is no part of a destination".to_owned())),
                });
                register += part.registers();
            }
            out.extend([
                Expression::Lookup {
                    set: map.clone(),
                    not: false,
                    to: Some(FIRST),
                },
                Expression::Translate,
            ]);
        }
    }
    Ok(out)
}

fn any_bit(key: u32, bits: u32) -> [Expression; 3] {
    [
        Expression::Connection { key },
        Expression::Mask {
            mask: bits.to_ne_bytes().to_vec(),
        },
        Expression::Compare {
            equal: false,
            value: vec![0; 4],
        },
    ]
}

fn within(load: Expression, cidr: &str) -> Result<[Expression; 3]> {
    let parsed = Cidr::parse(cidr)?;
    let std::net::IpAddr::V4(address) = parsed.address else {
        return Err(invalid(format!("{cidr} is no IPv4 range")));
    };
    let mask = u32::MAX.checked_shl(32 - u32::from(parsed.prefix)).unwrap_or(0);
    let value = (u32::from(address) & mask).to_be_bytes().to_vec();
    Ok([
        load,
        Expression::Mask {
            mask: mask.to_be_bytes().to_vec(),
        },
        Expression::Compare { equal: true, value },
    ])
}

pub fn write(list: &mut Message, expressions: &[Expression]) {
    for expression in expressions {
        list.nest(1, |element| {
            element.text(1, name(expression)).nest(2, |data| fill(data, expression));
        });
    }
}

fn name(expression: &Expression) -> &'static str {
    match expression {
        Expression::Meta { .. } => "meta",
        Expression::Payload { .. } => "payload",
        Expression::Mask { .. } => "bitwise",
        Expression::Connection { .. } => "ct",
        Expression::AddressType => "fib",
        Expression::Compare { .. } => "cmp",
        Expression::Lookup { .. } => "lookup",
        Expression::Translate => "nat",
        Expression::Masquerade => "masq",
        Expression::Verdict(_) => "immediate",
    }
}

fn fill(data: &mut Message, expression: &Expression) {
    let value = |message: &mut Message, kind, bytes: &[u8]| {
        message.nest(kind, |nest| {
            nest.put(1, bytes);
        });
    };
    match expression {
        Expression::Meta { key, to } => {
            data.big(1, *to).big(2, *key);
        }
        Expression::Payload { base, offset, length, to } => {
            data.big(1, *to).big(2, *base).big(3, *offset).big(4, *length);
        }
        Expression::Mask { mask } => {
            data.big(1, FIRST).big(2, FIRST).big(3, mask.len() as u32);
            value(data, 4, mask);
            value(data, 5, &vec![0; mask.len()]);
        }
        Expression::Connection { key } => {
            data.big(1, FIRST).big(2, *key);
        }
        // Result 3 is the address type; flag 2 selects the destination.
        Expression::AddressType => {
            data.big(1, FIRST).big(2, 3).big(3, 2);
        }
        Expression::Compare { equal, value: bytes } => {
            data.big(1, FIRST).big(2, u32::from(!equal));
            value(data, 3, bytes);
        }
        Expression::Lookup { set, not, to } => {
            data.text(1, set).big(2, FIRST);
            if let Some(to) = to {
                data.big(3, *to);
            }
            if *not {
                data.big(5, 1);
            }
        }
        // Type 1 is DNAT, family 2 IPv4; address and port are in two registers.
        Expression::Translate => {
            data.big(1, 1)
                .big(2, 2)
                .big(3, FIRST)
                .big(4, FIRST)
                .big(5, FIRST + 1)
                .big(6, FIRST + 1);
        }
        Expression::Masquerade => {}
        Expression::Verdict(code) => {
            data.big(1, VERDICT).nest(2, |nest| {
                nest.nest(2, |verdict| {
                    verdict.big(1, *code);
                });
            });
        }
    }
}
