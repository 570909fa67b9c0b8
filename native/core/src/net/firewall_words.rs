//! The words of the firewall's steps: tables, chains, rules, sets, and what is in them (kernel/src/contract/host-network.ts).

use crate::failure::{Code, Failure};
use serde::{Deserialize, Serialize};

/// What one part of a key is.
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
    /// Is there afterwards.
    Table {
        table: String,
    },
    /// `NotFound` when there is none.
    DeleteTable {
        table: String,
    },
    /// A chain that the kernel calls; is there afterwards, without a rule.
    Chain {
        table: String,
        chain: String,
        kind: ChainKind,
        hook: Hook,
        priority: i32,
    },
    /// At the end of its chain. All of `tests` must hold.
    Rule {
        table: String,
        chain: String,
        tests: Vec<Test>,
        verdict: Verdict,
    },
    /// Is there afterwards.
    Set {
        table: String,
        set: Set,
    },
    /// Is there afterwards; in a map, one with that key and another value is `AlreadyExists`.
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

/// `value` makes it a map; with `interval` its keys are address ranges, written as CIDR.
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
    /// The packet's interface is in the set; `not`: is not.
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
    /// Interface in and out, as a key of two parts.
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
    /// The connection goes where a map of this table has sent it.
    DestinationTranslated,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Verdict {
    Accept,
    Drop,
    Masquerade,
    /// Looks the packet up in a map of `address . port`, and sends it there. The key's parts: the transport protocol, the destination's
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

/// For a word that nftables does not take.
pub(super) fn invalid(text: String) -> Failure {
    Failure::new(Code::InvalidArgument, text)
}
