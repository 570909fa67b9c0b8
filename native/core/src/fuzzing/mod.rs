//! The decoders of untrusted data, as functions of bytes: the targets of fuzz/ (libFuzzer) and of this module's own mutations. A decoder
//! must not panic or hang.

#[cfg(test)]
mod mutations;

use crate::container::spec::{Process, Spec};
use crate::layer::Reader as Archive;
use crate::net;
use crate::peer::protocol::{ClientHello, FromShim, ToShim};
use crate::peer::wire::{Fill, Reader};
use std::io::Write;
use std::os::unix::net::UnixStream;

/// A target and its name, which is also the name of its corpus in fuzz/corpus.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("tar", tar),
    ("frames", frames),
    ("netlink", netlink),
    ("nftables", nftables),
    ("messages", messages),
];

/// Reads an archive with all its content.
pub fn tar(bytes: &[u8]) {
    let mut reader = Archive::new(bytes);
    while let Ok(Some(member)) = reader.next_member() {
        let mut end = 0;
        let read = reader.content(&member, |offset, piece| {
            assert!(offset >= end, "pieces come in order");
            end = offset + piece.len() as u64;
            assert!(end <= member.size, "nothing lies behind a file's end");
            Ok(())
        });
        if read.is_err() {
            return;
        }
    }
}

/// Decodes frames from a socket.
pub fn frames(bytes: &[u8]) {
    let Ok((mut ours, theirs)) = UnixStream::pair() else { return };
    // As many bytes as the socket's buffer takes.
    let bytes = &bytes[..bytes.len().min(64 << 10)];
    if theirs.set_nonblocking(true).and(ours.write_all(bytes)).is_err() {
        return;
    }
    drop(ours);
    let mut reader = Reader::default();
    while let Ok(Fill::Bytes) = reader.fill(&theirs) {
        while let Ok(Some(frame)) = reader.take() {
            assert!(frame.payload.len() <= bytes.len());
        }
    }
}

/// Decodes messages of the kernel with nested attributes.
pub fn netlink(bytes: &[u8]) {
    net::decode_messages(bytes);
}

/// Decodes elements of nftables' sets.
pub fn nftables(bytes: &[u8]) {
    net::decode_elements(bytes);
}

/// Decodes messages between daemon and shims, the start of an exec, and the runtime's spec.
pub fn messages(bytes: &[u8]) {
    let _ = serde_json::from_slice::<ClientHello>(bytes);
    let _ = serde_json::from_slice::<ToShim>(bytes);
    let _ = serde_json::from_slice::<FromShim>(bytes);
    let _ = serde_json::from_slice::<Process>(bytes);
    let _ = serde_json::from_slice::<Spec>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = crate::container::seccomp::compile(text);
    }
}
