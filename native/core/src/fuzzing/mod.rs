//! The decoders of what strangers send, as functions of bytes: the targets of fuzz/ (libFuzzer) and of this module's own mutations. None
//! may panic or hang.

#[cfg(test)]
mod mutations;

use crate::container::spec::{Process, Spec};
use crate::layer::Reader as Archive;
use crate::net;
use crate::peer::protocol::{ClientHello, FromShim, ToShim};
use crate::peer::wire::{Fill, Reader};
use std::io::Write;
use std::os::unix::net::UnixStream;

/// A target by its name, which is that of its corpus in fuzz/corpus, too.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("tar", tar),
    ("frames", frames),
    ("netlink", netlink),
    ("nftables", nftables),
    ("messages", messages),
];

/// The reader of archives, with all content.
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

/// The decoder of frames, through a socket as always.
pub fn frames(bytes: &[u8]) {
    let Ok((mut ours, theirs)) = UnixStream::pair() else { return };
    // What a socket takes at once.
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

/// Messages of the kernel, and attributes within attributes.
pub fn netlink(bytes: &[u8]) {
    net::decode_messages(bytes);
}

/// Elements of nftables' sets.
pub fn nftables(bytes: &[u8]) {
    net::decode_elements(bytes);
}

/// What the daemon and shims tell each other, the start of an exec, and the runtime's spec.
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
