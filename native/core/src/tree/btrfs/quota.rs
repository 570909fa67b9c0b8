//! Quota groups: each subvolume has one of the same id. Simple quotas (Linux 6.7) count what a subvolume has allocated and cost nothing to
//! speak of; full ones count what is shared by walking back from each extent, which makes snapshots slow.

use super::items::{Life, life};
use super::raw::{self, Key, control, number};
use super::{open, open_any, split};
use crate::failure::{Code, Failure, Result};
use crate::tree::{Cancel, Named, shown};
use serde::Serialize;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Quotas {
    Off,
    Simple,
    Full,
}

/// BTRFS_QUOTA_TREE_OBJECTID
const QUOTA_TREE: u64 = 8;
const STATUS_ITEM: u32 = 240;
/// Flags of the status item.
const ON: u64 = 1 << 0;
const RESCAN: u64 = 1 << 1;
const SIMPLE: u64 = 1 << 3;

/// Which quotas the file system of a directory has.
pub fn quotas(path: &[u8]) -> Result<Quotas> {
    let flags = status(open_any(path)?.as_fd())?;
    Ok(match (flags & ON, flags & SIMPLE) {
        (0, _) => Quotas::Off,
        (_, 0) => Quotas::Full,
        _ => Quotas::Simple,
    })
}

fn status(any: BorrowedFd) -> Result<u64> {
    const FLAGS: usize = 16;
    let mut flags = 0;
    let key = Key {
        object: 0,
        kind: STATUS_ITEM,
        offset: 0,
    };
    let found = raw::search(any, QUOTA_TREE, key, key, 0, &mut |_, data| {
        flags = number(data, FLAGS);
        Ok(false)
    });
    match found {
        Err(failure) if failure.errno == Some(libc::ENOENT) => Ok(0),
        other => other.map(|()| flags),
    }
}

/// Switches on the quotas of a file system that has none: simple ones where the kernel has them. Full ones are exact only after a first
/// scan, so this waits for it.
pub fn enable_quotas(path: &[u8], cancel: &Cancel) -> Result<()> {
    /// struct btrfs_ioctl_quota_ctl_args.
    #[repr(C)]
    struct Control {
        command: u64,
        status: u64,
    }
    const FULL: u64 = 1;
    const SIMPLE: u64 = 4;
    let fd = open_any(path)?;
    let enable = |command| match control(fd.as_fd(), raw::QUOTA_CTL, &mut Control { command, status: 0 }) {
        // Somebody else was faster.
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    };
    match enable(SIMPLE) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => enable(FULL),
        other => other,
    }
    .named("ioctl(BTRFS_IOC_QUOTA_CTL)", path)?;
    while status(fd.as_fd())? & RESCAN != 0 {
        cancel.check()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Limits what is the subvolume's own, without what a snapshot shares; a write beyond that is EDQUOT. None: no limit.
///
/// Simple quotas put a subvolume that is made inside another one into the groups above the other's (Linux 6.10). So the limit is that of a
/// group above, and holds for the subvolumes that a container makes, too. Full quotas do not, and a group above needs a new scan of the
/// file system there: the limit is that of the subvolume's own group.
pub fn limit(path: &[u8], bytes: Option<u64>) -> Result<()> {
    let id = raw::id(open(path)?.as_fd()).named("ioctl(BTRFS_IOC_INO_LOOKUP)", path)?;
    // The change is charged to the subvolume of the descriptor, and the one at `path` may be at its limit.
    let (parent, _) = split(path)?;
    let any = parent.as_fd();
    let (group, above) = (id, above(id));
    let set = match (quotas(path)?, bytes) {
        (Quotas::Off, None) => return Ok(()),
        (Quotas::Off, Some(_)) => {
            let text = format!("{}: this btrfs has no quotas", shown(path));
            return Err(Failure::new(Code::Unsupported, text));
        }
        (Quotas::Simple, Some(bytes)) => existing(make(any, above, true))
            .and_then(|()| set_limit(any, above, bytes))
            .and_then(|()| existing(assign(any, group, above, true))),
        (Quotas::Simple, None) => release(any, group, above),
        (Quotas::Full, bytes) => set_limit(any, group, bytes.unwrap_or(NO_LIMIT)),
    };
    set.named("ioctl(BTRFS_IOC_QGROUP_LIMIT)", path)
}

/// The group that has the limit: level 1, the subvolume's id.
fn above(id: u64) -> u64 {
    1 << 48 | id
}

/// The kernel's value for no limit.
const NO_LIMIT: u64 = u64::MAX;

fn set_limit(any: BorrowedFd, group: u64, bytes: u64) -> io::Result<()> {
    /// struct btrfs_ioctl_qgroup_limit_args.
    #[repr(C)]
    struct Limit {
        group: u64,
        flags: u64,
        most_referenced: u64,
        most_exclusive: u64,
        reserved: [u64; 2],
    }
    /// BTRFS_QGROUP_LIMIT_MAX_EXCL
    const EXCLUSIVE: u64 = 1 << 1;
    let mut limit = Limit {
        group,
        flags: EXCLUSIVE,
        most_referenced: 0,
        most_exclusive: bytes,
        reserved: [0; 2],
    };
    control(any, raw::QGROUP_LIMIT, &mut limit)
}

/// Makes or removes a group.
fn make(any: BorrowedFd, id: u64, create: bool) -> io::Result<()> {
    /// struct btrfs_ioctl_qgroup_create_args.
    #[repr(C)]
    struct Group {
        create: u64,
        id: u64,
    }
    let create = create.into();
    control(any, raw::QGROUP_CREATE, &mut Group { create, id })
}

/// Puts a group into another one, or takes it out.
fn assign(any: BorrowedFd, group: u64, above: u64, assign: bool) -> io::Result<()> {
    /// struct btrfs_ioctl_qgroup_assign_args.
    #[repr(C)]
    struct Assign {
        assign: u64,
        group: u64,
        above: u64,
    }
    let assign = assign.into();
    control(any, raw::QGROUP_ASSIGN, &mut Assign { assign, group, above })
}

/// Takes the limit away, and the group that has it. A subvolume that never had a limit has no such group.
fn release(any: BorrowedFd, group: u64, above: u64) -> io::Result<()> {
    missing(set_limit(any, above, NO_LIMIT))?;
    missing(assign(any, group, above, false))?;
    match missing(make(any, above, false)) {
        // Subvolumes inside are in it: it is removed after them (`remove_groups`).
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
        other => other,
    }
}

/// What exists already is no error.
fn existing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

/// What is missing is no error: a group, or all quotas.
fn missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        // EINVAL: before Linux 5.12, without quotas.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTCONN | libc::EINVAL)) => Ok(()),
        other => other,
    }
}

/// Removes the quota groups of removed subvolumes; `path` is any directory of their file system. Answers those that the kernel still
/// holds, because it has not freed the subvolume yet. The group of a subvolume that exists stays, and is not answered: after a new mount
/// the kernel may use the id of a removed one again.
pub fn remove_groups(path: &[u8], ids: &[u64]) -> Result<Vec<u64>> {
    let fd = open_any(path)?;
    let any = fd.as_fd();
    let mut held = Vec::new();
    for id in ids {
        let is_held = match life(any, *id)? {
            Life::Live => continue,
            Life::Removed => true,
            // Linux 6.11 and later remove most groups of level 0 by themselves.
            Life::Gone => match missing(make(any, *id, false)).and_then(|()| missing(make(any, above(*id), false))) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => true,
                other => other.named("ioctl(BTRFS_IOC_QGROUP_CREATE)", path).map(|()| false)?,
            },
        };
        if is_held {
            held.push(*id);
        }
    }
    Ok(held)
}
