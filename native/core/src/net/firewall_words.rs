//! The types of the firewall's steps: tables, chains, rules, sets, and their elements (kernel/src/contract/host-network.ts).

use crate::failure::{Code, Failure};
use serde::{Deserialize, Serialize};

/// The type of one part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    Address,
    Port,
    Protocol,
    Interface,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "step", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Step {
    /// Makes a table if it does not exist.
    Table {
        table: String,
    },
    /// Fails with `NotFound` if there is no such table.
    DeleteTable {
        table: String,
    },
    /// Makes a chain that the kernel calls, or removes all rules of an existing one.
    Chain {
        table: String,
        chain: String,
        kind: ChainKind,
        hook: Hook,
        priority: i32,
    },
    /// Appends a rule to its chain. All of `tests` must hold.
    Rule {
        table: String,
        chain: String,
        tests: Vec<Test>,
        verdict: Verdict,
    },
    /// Makes a set if it does not exist.
    Set {
        table: String,
        set: Set,
    },
    /// Adds an element if it does not exist. In a map, an element with the same key and another value is `AlreadyExists`.
    Element {
        table: String,
        set: Set,
        element: Element,
    },
    DeleteElement {
        table: String,
        set: Set,
        key: Vec<String>,
    },
}

/// A set. With `value` it is a map; with `interval` its keys are address ranges, written as CIDR.
#[derive(Clone, Debug, Deserialize)]
pub struct Set {
    #[serde(rename = "set")]
    pub name: String,
    pub key: Vec<Part>,
    pub value: Option<Vec<Part>>,
    pub interval: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChainKind {
    Filter,
    Nat,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "test", rename_all = "camelCase")]
pub enum Test {
    /// The packet's incoming interface is in the set; `not`: it is not.
    InterfaceIn {
        set: String,
        #[serde(default)]
        not: bool,
    },
    InterfaceOut {
        set: String,
        #[serde(default)]
        not: bool,
    },
    /// Incoming and outgoing interface, as a key of two parts.
    InterfacePair {
        set: String,
    },
    SourceIn {
        set: String,
    },
    Source {
        cidr: String,
    },
    Destination {
        cidr: String,
    },
    /// The destination is an address of this host.
    DestinationLocal,
    Established,
    /// A map of this table has translated the connection's destination.
    DestinationTranslated,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Verdict {
    Accept,
    Drop,
    Masquerade,
    /// Looks the packet up in a map to `address . port`, and sends it there. The key's parts: the transport protocol, the destination's
    /// address and port.
    Translate {
        map: String,
        key: Vec<Part>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    pub key: Vec<String>,
    pub value: Option<Vec<String>>,
    pub comment: Option<String>,
}

/// The failure for an argument that nftables does not take.
pub(super) fn invalid(text: String) -> Failure {
    Failure::new(Code::InvalidArgument, text)
}
