//! What differs between two trees, as `docker diff` tells it.
//!
//! Docker's rules: a directory's own times and what is in it are no change of the directory's, but where something inside has changed it is told as changed
//! before that; a directory that went is told without what was in it; a new one with all that is in it. Content is not compared: size and time are.

use super::OVERLAY_OPAQUE;
use super::own::Own;
use crate::failure::Result;
use crate::tree::{Cancel, DEEPEST, Named, at, join, sorted, too_deep, xattr};
use serde::Serialize;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Modified,
    Added,
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// Absolute. What is no UTF-8 is shown with replacement characters.
    pub path: String,
}

/// What the upper tree is.
#[derive(Clone, Copy)]
pub enum Upper<'a> {
    Whole,
    /// An overlay's upper directory, which holds its changes alone, with the overlay's own marks. `since`: another one, which is part of the lower tree and of which it began as a copy: what
    /// came with that, and has gone, has left no mark.
    Overlay {
        since: Option<BorrowedFd<'a>>,
    },
}

pub fn differences(lower: Option<BorrowedFd>, upper: BorrowedFd, kind: Upper, own: &Own, cancel: &Cancel) -> Result<Vec<Change>> {
    let (overlay, since) = match kind {
        Upper::Whole => (false, None),
        Upper::Overlay { since } => (true, since),
    };
    let mut walk = Walk {
        found: Vec::new(),
        overlay,
        own,
        cancel,
    };
    walk.directory(lower, upper, since, b"", 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    found: Vec<Change>,
    overlay: bool,
    own: &'a Own,
    cancel: &'a Cancel,
}

impl Walk<'_> {
    fn directory(
        &mut self,
        lower: Option<BorrowedFd>,
        upper: BorrowedFd,
        since: Option<BorrowedFd>,
        path: &[u8],
        depth: usize,
    ) -> Result<()> {
        if depth > DEEPEST {
            return Err(too_deep(path));
        }
        self.cancel.check()?;
        let names = sorted(upper).named("getdents64", path)?;
        let whole = !self.overlay || xattr::get(upper, c"", OVERLAY_OPAQUE).named("getxattr", path)?.as_deref() == Some(b"y");
        let mut all = names.clone();
        // What went without a mark can only be found by its name: all that was below, or what came with a copy.
        if let Some(before) = if whole { lower } else { since } {
            all.extend(sorted(before).named("getdents64", path)?);
            all.sort_unstable();
            all.dedup();
        }
        for name in &all {
            self.entry(
                lower,
                upper,
                since,
                names.binary_search(name).is_ok(),
                name,
                &join(path, name.to_bytes()),
                depth,
            )?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        lower: Option<BorrowedFd>,
        upper: BorrowedFd,
        since: Option<BorrowedFd>,
        is_here: bool,
        name: &CString,
        path: &[u8],
        depth: usize,
    ) -> Result<()> {
        let above = match is_here {
            true => at::find(upper, name)
                .named("stat", path)?
                .filter(|stat| !(self.overlay && stat.is_whiteout())),
            false => None,
        };
        let below = match lower {
            Some(lower) => at::find(lower, name).named("stat", path)?,
            None => None,
        };
        let Some(stat) = above else {
            if below.is_some() {
                self.tell(ChangeKind::Deleted, path);
            }
            return Ok(());
        };
        if below.is_none() && self.own.is_ours(upper, name, path, &stat)? {
            return Ok(());
        }
        let told = self.found.len();
        match (below, lower) {
            (Some(below), Some(lower)) => {
                if differs((lower, &below), (upper, &stat), name, path)? {
                    self.tell(ChangeKind::Modified, path);
                }
            }
            _ => self.tell(ChangeKind::Added, path),
        }
        let quiet = self.found.len() == told;
        let was_directory = below.is_some_and(|below| below.is_directory());
        if !stat.is_directory() && !was_directory {
            return Ok(());
        }
        let (lower, upper) = (
            lower.filter(|_| was_directory).map(|lower| open(lower, name, path)).transpose()?,
            stat.is_directory().then(|| open(upper, name, path)).transpose()?,
        );
        let lower = lower.flatten();
        match upper {
            Some(Some(upper)) => {
                let since = since.map(|since| directory_of(since, name, path)).transpose()?.flatten();
                let [lower, since] = [&lower, &since].map(|fd| fd.as_ref().map(|fd| fd.as_fd()));
                self.directory(lower, upper.as_fd(), since, path, depth + 1)?;
            }
            // Something is mounted there: it is no part of the tree.
            Some(None) => {}
            None => {
                if let Some(lower) = lower {
                    for name in sorted(lower.as_fd()).named("getdents64", path)? {
                        self.tell(ChangeKind::Deleted, &join(path, name.to_bytes()));
                    }
                }
            }
        }
        if quiet && self.found.len() > told {
            self.found.insert(told, change(ChangeKind::Modified, path));
        }
        Ok(())
    }

    fn tell(&mut self, kind: ChangeKind, path: &[u8]) {
        self.found.push(change(kind, path));
    }
}

fn change(kind: ChangeKind, path: &[u8]) -> Change {
    Change {
        kind,
        path: format!("/{}", String::from_utf8_lossy(path)),
    }
}

/// None: there is no directory of that name.
fn directory_of(directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<Option<OwnedFd>> {
    match at::find(directory, name).named("stat", path)? {
        Some(stat) if stat.is_directory() => open(directory, name, path),
        _ => Ok(None),
    }
}

/// None: something is mounted there.
fn open(directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<Option<OwnedFd>> {
    match at::open_directory(directory, name) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.raw_os_error() == Some(libc::EXDEV) => Ok(None),
        Err(error) => Err(error).named("openat2", path),
    }
}

/// Mode, owner, device, capabilities; and size and time of what is no directory.
fn differs(lower: (BorrowedFd, &at::Stat), upper: (BorrowedFd, &at::Stat), name: &CStr, path: &[u8]) -> Result<bool> {
    let (before, now) = (&lower.1.0, &upper.1.0);
    if before.st_mode != now.st_mode || (before.st_uid, before.st_gid, before.st_rdev) != (now.st_uid, now.st_gid, now.st_rdev) {
        return Ok(true);
    }
    if !upper.1.is_directory() && (before.st_size != now.st_size || !same_time(lower.1.mtime(), upper.1.mtime())) {
        return Ok(true);
    }
    let capability = |directory| xattr::get(directory, name, c"security.capability").named("getxattr", path);
    Ok(capability(lower.0)? != capability(upper.0)?)
}

/// A time in whole seconds may have come from an archive that has no fractions.
fn same_time(before: at::Time, now: at::Time) -> bool {
    before.seconds == now.seconds && (before.nanoseconds == now.nanoseconds || before.nanoseconds == 0 || now.nanoseconds == 0)
}
