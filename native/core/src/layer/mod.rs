#![cfg(feature = "layer")]
//! Layers (OCI image spec, layer.md): a tar archive, mostly compressed, of the differences between a tree and the one below it.
//!
//! ```text
//! apply   file ─ inflate + both hashes (thread) ─ chunks ─ tar reader ─ tree
//! diff    tree ─ tar writer ─ chunks ─ both hashes + compress (thread) ─ file
//! ```
//! Memory use does not grow with a layer's size: chunks are reused, and only some bytes per member and the times of each directory are
//! held. A layer is hostile: any of its values may be false, and nothing in it has an effect outside of the root to which it is applied.

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
pub use diff::{diff, diff_overlay, diff_overlay_since, diff_snapshot};
pub use differences::{Change, ChangeKind, Upper, differences};
pub use extract::{Extract, Found, extract, find};
pub use growing::Growing;
pub use member::{Kind, Member, Segment};
pub use own::Own;
pub use pack::{Pack, pack};
pub use reader::Reader;
pub use writer::Writer;

use serde::Serialize;

/// A layer's data, as in the contract's `Layer` (kernel/src/contract/storage.ts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// The sha256 of the plain tar, of all bytes up to the end of the stream.
    pub diff_id: String,
    /// The sha256 of the file.
    pub digest: String,
    /// The size of the file in bytes.
    pub size: u64,
}

/// A name with this prefix is a whiteout (OCI image spec, layer.md).
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// Hides all entries of lower layers in its directory.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// The overlay's attribute with the same meaning, on the directory. In a user namespace nobody may set `trusted.` ones, so overlays are
/// mounted with `userxattr` there (drivers/storage-overlay).
pub(crate) fn overlay_opaque() -> &'static std::ffi::CStr {
    static OWN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    if *OWN.get_or_init(crate::sys::in_user_namespace) {
        c"user.overlay.opaque"
    } else {
        c"trusted.overlay.opaque"
    }
}

#[cfg(test)]
mod changing_tests;
#[cfg(test)]
mod tests;
