use super::items::{self, make_writable};
use super::{ROOT_INODE, open, raw, remove};
use crate::failure::Result;
use crate::sys::at;
use crate::tree::{Cancel, Named, copy_tree, remove_at};
use rustix::fs::RenameFlags;
use std::os::fd::{AsFd, BorrowedFd};

/// The subvolumes that are replaced in one round.
const ROUND: usize = 4096;

/// Replaces all subvolumes below the one at `path` by directories with the same contents, whose blocks are shared: a snapshot would show
/// them empty. After a crash it can be repeated.
pub fn flatten(path: &[u8], cancel: &Cancel) -> Result<()> {
    let fd = open(path)?;
    let any = fd.as_fd();
    let top = raw::id(any).named("ioctl(BTRFS_IOC_INO_LOOKUP)", path)?;
    loop {
        let found = remove::below(any, top, ROUND, cancel)?;
        for id in found.iter().filter(|id| **id != top) {
            replace(any, *id, cancel)?;
        }
        if found.last() == Some(&top) {
            return Ok(());
        }
    }
}

fn replace(any: BorrowedFd, id: u64, cancel: &Cancel) -> Result<()> {
    let Some(place) = items::place(any, id)? else { return Ok(()) };
    make_writable(any, place.parent)?;
    let copy = at::c_string(format!(".tsbox-flat-{id}").as_bytes()).named("open", b"")?;
    // The name that it has if an earlier call was interrupted after the exchange.
    if place.name != copy.to_bytes() {
        let name = at::c_string(&place.name).named("open", &place.name)?;
        let directory = items::open_directory(any, place.parent, place.directory)?;
        let directory = directory.as_fd();
        remove_at(directory, &copy, copy.to_bytes(), cancel)?;
        at::make_directory(directory, &copy, 0o700).named("mkdir", copy.to_bytes())?;
        let from = items::open_directory(any, id, ROOT_INODE)?;
        let to = at::open_directory(directory, &copy).named("openat2", copy.to_bytes())?;
        copy_tree(from.as_fd(), to.as_fd(), &Default::default(), cancel)?;
        rustix::fs::renameat_with(directory, &copy, directory, &name, RenameFlags::EXCHANGE)
            .map_err(std::io::Error::from)
            .named("renameat2", &place.name)?;
    }
    remove::destroy(any, id)
}
