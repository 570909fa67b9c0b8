//! The mounts of a storage driver or a container: opened by descriptor, and combined to one tree.

mod open;
mod options;
mod overlay;
mod plain;
mod process;
mod tree;

pub use open::open_one;
pub(crate) use options::Parts;
pub(crate) use overlay::{forget_volatile, has_lowerdir_plus, mounted_by_page};
pub use process::process_root;
pub(crate) use tree::open_detached_by;
pub use tree::{Held, attach_all, open_detached, open_held};

use crate::id_maps::IdMaps;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::FileTypeExt;

/// `Mount` of kernel/src/contract/storage.ts. Options are `key` or `key=value`, in order, and a key may repeat (`lowerdir+`). `target` is
/// relative to the root file system; a mount without a target is the root itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    #[serde(rename = "type")]
    pub type_: String,
    pub source: String,
    pub target: Option<String>,
    #[serde(default)]
    pub options: Vec<String>,
    /// The mapping of its files' ids, for a container in a user namespace. [`crate::container::idmap`] applies it.
    #[serde(default, rename = "idMaps", skip_serializing_if = "Option::is_none")]
    pub id_maps: Option<IdMaps>,
}

impl Mount {
    /// Whether it is the file system of a block device, which a process in a container's devices cgroup may not open.
    pub fn is_of_block_device(&self) -> bool {
        !matches!(self.type_.as_str(), "bind" | "overlay" | "tmpfs")
            && self.source.starts_with('/')
            && std::fs::metadata(&self.source).is_ok_and(|found| found.file_type().is_block_device())
    }
}

#[cfg(test)]
mod tests;
