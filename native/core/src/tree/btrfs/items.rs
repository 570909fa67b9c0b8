//! The items of the file system's trees that are read here (linux/btrfs_tree.h).

use super::raw::{self, Key, number};
use super::{ROOT_INODE, raw::open_inode};
use crate::failure::{Failure, Result};
use crate::tree::Named;
use std::os::fd::{BorrowedFd, OwnedFd};

/// BTRFS_ROOT_TREE_OBJECTID
const ROOT_TREE: u64 = 1;
pub const INODE_ITEM: u32 = 1;
pub const EXTENT_DATA: u32 = 108;
const ROOT_ITEM: u32 = 132;
const ROOT_BACKREF: u32 = 144;
const ROOT_REF: u32 = 156;

/// How far the removal of a subvolume is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It has a name.
    Live,
    /// It is removed, and the kernel has not freed it yet.
    Removed,
    Gone,
}

/// The number of references in the root's item says the same only after the next commit of the file system; the name goes at once.
pub fn life(any: BorrowedFd, id: u64) -> Result<Life> {
    Ok(match (place(any, id)?, since(any, id)?) {
        (Some(_), _) => Life::Live,
        (None, Some(_)) => Life::Removed,
        (None, None) => Life::Gone,
    })
}

/// The transaction before which nothing in a subvolume is its own, because it was made as a snapshot then; 0: all is its own. None: no such
/// subvolume.
pub fn since(any: BorrowedFd, id: u64) -> Result<Option<u64>> {
    let mut found = None;
    let key = |offset| Key {
        object: id,
        kind: ROOT_ITEM,
        offset,
    };
    raw::search(any, ROOT_TREE, key(0), key(u64::MAX), 0, &mut |_, data| {
        const PARENT: usize = 263;
        const MADE_IN: usize = 303;
        let snapshot = data
            .get(PARENT..PARENT + 16)
            .is_some_and(|parent| parent.iter().any(|byte| *byte != 0));
        found = Some(if snapshot { number(data, MADE_IN) + 1 } else { 0 });
        Ok(false)
    })?;
    Ok(found)
}

/// The subvolumes directly below one, at most `most` of those with ids above `after`.
pub fn children(any: BorrowedFd, parent: u64, after: u64, most: usize) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    let key = |offset| Key {
        object: parent,
        kind: ROOT_REF,
        offset,
    };
    let Some(first) = after.checked_add(1) else { return Ok(found) };
    raw::search(any, ROOT_TREE, key(first), key(u64::MAX), 0, &mut |key, _| {
        found.push(key.offset);
        Ok(found.len() < most)
    })?;
    Ok(found)
}

/// Where a subvolume is: its parent, the inode of its directory there, and its name.
pub struct Place {
    pub parent: u64,
    pub directory: u64,
    pub name: Vec<u8>,
}

/// None: the subvolume is gone.
pub fn place(any: BorrowedFd, id: u64) -> Result<Option<Place>> {
    let mut found = None;
    let key = |offset| Key {
        object: id,
        kind: ROOT_BACKREF,
        offset,
    };
    raw::search(any, ROOT_TREE, key(0), key(u64::MAX), 0, &mut |key, data| {
        const NAME: usize = 18;
        let length = usize::from(data.get(16).copied().unwrap_or(0)) | usize::from(data.get(17).copied().unwrap_or(0)) << 8;
        found = Some(Place {
            parent: key.offset,
            directory: number(data, 0),
            name: data.get(NAME..NAME + length).unwrap_or_default().to_vec(),
        });
        Ok(false)
    })?;
    Ok(found)
}

/// Opens a directory of a subvolume by its inode.
pub fn open_directory(any: BorrowedFd, subvolume: u64, inode: u64) -> Result<OwnedFd> {
    let mut generation = 0;
    let key = Key {
        object: inode,
        kind: INODE_ITEM,
        offset: 0,
    };
    raw::search(any, subvolume, key, key, 0, &mut |_, data| {
        generation = number(data, 0);
        Ok(false)
    })?;
    // A handle has the lower half, as the kernel's own.
    open_inode(any, subvolume, inode, generation as u32).named("open_by_handle_at", b"")
}

/// Makes a subvolume writable, wherever it is.
pub fn make_writable(any: BorrowedFd, id: u64) -> Result<()> {
    let subvolume = open_directory(any, id, ROOT_INODE)?;
    super::change_read_only(std::os::fd::AsFd::as_fd(&subvolume), false).named("ioctl(BTRFS_IOC_SUBVOL_SETFLAGS)", b"")
}

/// Whether a call failed because what it names is gone.
pub fn is_gone(failure: &Failure) -> bool {
    matches!(failure.errno, Some(libc::ENOENT | libc::ESTALE))
}
