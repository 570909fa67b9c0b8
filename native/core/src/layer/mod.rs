#![cfg(feature = "layer")]
//! Layers (OCI image spec, layer.md): a tar, mostly compressed, that says how a tree differs from the one below it.
//!
//! ```text
//! apply   file ─ inflate + both hashes (thread) ─ chunks ─ tar reader ─ tree
//! diff    tree ─ tar writer ─ chunks ─ both hashes + compress (thread) ─ file
//! ```
//! Memory does not grow with a layer's size: chunks go round, and what is kept is some bytes for each member and each directory's times.
//! A layer is hostile: it may lie about everything, and nothing it says reaches beyond the root that it is applied to.

mod apply;
mod changes;
mod compression;
mod deferred;
mod deflate;
mod diff;
mod differences;
mod emit;
mod entry;
mod extract;
mod growing;
mod header;
mod inflate;
mod member;
mod own;
mod pack;
mod pax;
mod place;
mod reader;
mod sparse;
mod writer;

pub use apply::{Options, Whiteouts, apply};
pub use compression::Compression;
pub use diff::{diff, diff_overlay, diff_overlay_since};
pub use differences::{Change, ChangeKind, Upper, differences};
pub use extract::{Extract, Found, extract, find};
pub use growing::Growing;
pub use member::{Kind, Member, Segment};
pub use own::Own;
pub use pack::{Pack, pack};
pub use reader::Reader;
pub use writer::Writer;

use serde::Serialize;

/// What a layer holds, as the contract's `Layer` (kernel/src/contract/storage.ts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// sha256 of the plain tar, all bytes up to the end of the stream.
    pub diff_id: String,
    /// sha256 of the file.
    pub digest: String,
    /// Bytes of the file.
    pub size: u64,
}

/// A name that starts so is a whiteout (OCI image spec, layer.md).
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// Hides all that lower layers have in its directory.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// The overlay's word for the same, on the directory.
pub(crate) const OVERLAY_OPAQUE: &std::ffi::CStr = c"trusted.overlay.opaque";

#[cfg(test)]
mod tests;
