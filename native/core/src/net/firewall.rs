//! nftables for IPv4: a transaction of steps, and the elements of a set. The terms are those of nft(8), as far as container networks need
//! them.
//!
//! Sets and maps have keys of one or more parts ("tcp . 8080"). Rules are written once; only elements are added and removed later. An
//! element costs a fraction of a rule, and its lookup time does not grow with the number of elements.

use super::firewall_codec as codec;
pub use super::firewall_words::{ChainKind, Element, Hook, Part, Set, Step, Test, Verdict};
use super::netlink::{self, APPEND, CREATE, DUMP, Message, Socket, attribute, attributes};
use crate::failure::{Failure, Result};

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
pub(super) const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENT: u16 = 13;
const DELETE_ELEMENT: u16 = 14;

const IPV4: u8 = 2;

/// Applies all steps, or none.
pub fn commit(steps: &[Step]) -> Result<()> {
    let mut messages = vec![batch(BATCH_BEGIN)];
    for step in steps {
        append(&mut messages, step)?;
    }
    let last = messages.len() - 1;
    if last == 0 {
        return Ok(());
    }
    messages.push(batch(BATCH_END));
    Socket::open(libc::NETLINK_NETFILTER)?
        .transaction(messages, last, "change the firewall")
        .map_err(|failure| match failure.errno {
            Some(libc::EPERM) => Failure {
                message: "the firewall can be changed by root only (CAP_NET_ADMIN)".to_owned(),
                ..failure
            },
            _ => failure,
        })
}

fn batch(kind: u16) -> Message {
    // nfgenmsg: the last two bytes are the subsystem, big-endian.
    Message::new(kind, 0, &[0, 0, 0, 10])
}

fn message(kind: u16, flags: u16) -> Message {
    Message::new(SUBSYSTEM | kind, flags, &[IPV4, 0, 0, 0])
}

fn append(messages: &mut Vec<Message>, step: &Step) -> Result<()> {
    let made = match step {
        Step::Table { table } => {
            let mut made = message(NEW_TABLE, CREATE);
            made.text(1, table).big(2, 0);
            made
        }
        Step::DeleteTable { table } => {
            let mut made = message(DELETE_TABLE, 0);
            made.text(1, table);
            made
        }
        Step::Chain {
            table,
            chain,
            kind,
            hook,
            priority,
        } => {
            let mut made = message(NEW_CHAIN, CREATE);
            made.text(1, table).text(3, chain).nest(4, |nest| {
                nest.big(1, *hook as u32).big(2, *priority as u32);
            });
            made.text(7, if matches!(kind, ChainKind::Nat) { "nat" } else { "filter" });
            messages.push(made);
            let mut emptied = message(DELETE_RULE, 0);
            emptied.text(1, table).text(2, chain);
            emptied
        }
        Step::Rule {
            table,
            chain,
            tests,
            verdict,
        } => {
            let expressions = codec::rule(tests, verdict)?;
            let mut made = message(NEW_RULE, CREATE | APPEND);
            made.text(1, table).text(2, chain).nest(4, |list| codec::write(list, &expressions));
            made
        }
        Step::Set { table, set } => {
            let mut made = message(NEW_SET, CREATE);
            codec::set(&mut made, table, set);
            made
        }
        Step::Element { table, set, element } => {
            let mut made = message(NEW_ELEMENT, CREATE);
            codec::element(&mut made, table, set, element)?;
            made
        }
        Step::DeleteElement { table, set, key } => {
            let mut made = message(DELETE_ELEMENT, 0);
            codec::key_alone(&mut made, table, set, key)?;
            made
        }
    };
    messages.push(made);
    Ok(())
}

/// The tables whose names begin with `prefix`.
pub fn tables(prefix: &str) -> Result<Vec<String>> {
    let answers = Socket::open(libc::NETLINK_NETFILTER)?.gather(message(GET_TABLE, 0), DUMP, "list tables", "nftables")?;
    let names = answers
        .iter()
        .filter_map(|(_, payload)| attribute(payload.get(4..)?, 1))
        .map(netlink::text);
    Ok(names.filter(|name| name.starts_with(prefix)).collect())
}

/// The elements of a set or map (not one of intervals). Fails with `NotFound` if there is no such table or set.
pub fn elements(table: &str, set: &Set) -> Result<Vec<Element>> {
    let mut made = message(GET_ELEMENT, 0);
    made.text(1, table).text(2, &set.name);
    let answers = Socket::open(libc::NETLINK_NETFILTER)?.gather(made, DUMP, "list elements", &set.name)?;
    let lists = answers.iter().filter_map(|(_, payload)| attribute(payload.get(4..)?, 3));
    Ok(lists
        .flat_map(|list| {
            attributes(list)
                .filter_map(|(_, element)| codec::parse_element(element, set))
                .collect::<Vec<_>>()
        })
        .collect())
}

/// Tries every kind of step and rule of this file, in a table that the same transaction removes.
pub(super) fn probe() -> Result<()> {
    let table = || "tsbox-probe".to_owned();
    let set = |name: &str, key: &[Part], value: Option<&[Part]>, interval| Step::Set {
        table: table(),
        set: Set {
            name: name.to_owned(),
            key: key.to_vec(),
            value: value.map(<[Part]>::to_vec),
            interval,
        },
    };
    let chain = |chain: &str, kind, hook| Step::Chain {
        table: table(),
        chain: chain.to_owned(),
        kind,
        hook,
        priority: 0,
    };
    let rule = |chain: &str, tests, verdict| Step::Rule {
        table: table(),
        chain: chain.to_owned(),
        tests,
        verdict,
    };
    let key = [Part::Protocol, Part::Port];
    commit(&[
        Step::Table { table: table() },
        set("ports", &key, Some(&[Part::Address, Part::Port]), false),
        set("subnets", &[Part::Address], None, true),
        chain("prerouting", ChainKind::Nat, Hook::Prerouting),
        chain("postrouting", ChainKind::Nat, Hook::Postrouting),
        chain("forward", ChainKind::Filter, Hook::Forward),
        rule(
            "prerouting",
            vec![Test::DestinationLocal],
            Verdict::Translate {
                map: "ports".to_owned(),
                key: key.to_vec(),
            },
        ),
        rule(
            "postrouting",
            vec![Test::SourceIn { set: "subnets".to_owned() }],
            Verdict::Masquerade,
        ),
        rule("forward", vec![Test::Established, Test::DestinationTranslated], Verdict::Accept),
        Step::DeleteTable { table: table() },
    ])
}
