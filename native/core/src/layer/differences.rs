//! The differences between two trees, as `docker diff` reports them.
//!
//! Docker's rules: a directory's times and its entries do not count as changes of the directory itself. But if an entry in it has changed,
//! the directory is reported as changed before that entry. A deleted directory is reported without its entries, a new one with all its
//! entries. Content is not compared, only size and time.

use super::overlay_opaque;
use super::own::Own;
use crate::failure::{Code, Failure, Result};
use crate::limits::LARGEST_CHANGES;
use crate::sys::{at, xattr};
use crate::tree::btrfs::Touched;
use crate::tree::{Cancel, Descent, Named, join, sorted};
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
    /// The absolute path. Bytes that are not UTF-8 are shown as replacement characters.
    pub path: String,
}

/// The kind of the upper tree.
#[derive(Clone, Copy)]
pub enum Upper<'a> {
    Whole,
    /// An overlay's upper directory, which contains only its changes, with the overlay's marks. `since`: another upper directory, which is
    /// part of the lower tree and of which this one began as a copy. An entry of that copy that was deleted has left no mark.
    Overlay {
        since: Option<BorrowedFd<'a>>,
    },
    /// A snapshot of the lower tree, with what may have changed in it.
    Snapshot(&'a Touched),
}

pub fn differences(lower: Option<BorrowedFd>, upper: BorrowedFd, kind: Upper, own: &Own, cancel: &Cancel) -> Result<Vec<Change>> {
    let (overlay, since, touched) = match kind {
        Upper::Whole => (false, None, None),
        Upper::Overlay { since } => (true, since, None),
        Upper::Snapshot(touched) => (false, None, Some(touched)),
    };
    let mut walk = Walk {
        found: Vec::new(),
        bytes: 0,
        overlay,
        own,
        cancel,
        lower: lower.map(Side::new),
        upper: Descent::new(upper, b""),
        since: since.map(Side::new),
        touched,
    };
    walk.all()?;
    Ok(walk.found)
}

/// A tree that follows the walk through the upper one. It may lack the current directory.
struct Side<'a> {
    descent: Descent<'a>,
    /// The number of levels of the upper tree that this one lacks.
    missing: usize,
}

impl<'a> Side<'a> {
    fn new(root: BorrowedFd<'a>) -> Self {
        Side {
            descent: Descent::new(root, b""),
            missing: 0,
        }
    }

    fn here(&self) -> Option<BorrowedFd<'_>> {
        (self.missing == 0).then(|| self.descent.here())
    }

    /// Follows the upper tree into `name`. None: this tree has no such directory.
    fn enter(&mut self, name: &CStr, directory: Option<OwnedFd>) -> Result<()> {
        match directory {
            Some(directory) => self.descent.enter(name, directory),
            None => {
                self.missing += 1;
                Ok(())
            }
        }
    }

    fn leave(&mut self) -> Result<()> {
        match self.missing.checked_sub(1) {
            Some(less) => {
                self.missing = less;
                Ok(())
            }
            None => self.descent.leave(),
        }
    }
}

/// A directory of the upper tree that is being compared.
struct Level {
    /// The relevant names of all trees; true: the upper tree has the name.
    names: std::vec::IntoIter<(CString, bool)>,
    /// If the directory itself was not reported: the number of changes that were reported before it.
    quiet_at: Option<usize>,
}

struct Walk<'a> {
    found: Vec<Change>,
    /// The total length of the reported paths.
    bytes: usize,
    overlay: bool,
    own: &'a Own,
    cancel: &'a Cancel,
    lower: Option<Side<'a>>,
    upper: Descent<'a>,
    since: Option<Side<'a>>,
    touched: Option<&'a Touched>,
}

impl Walk<'_> {
    fn all(&mut self) -> Result<()> {
        let mut levels = vec![Level {
            names: self.names()?,
            quiet_at: None,
        }];
        while let Some(level) = levels.last_mut() {
            self.cancel.check()?;
            if let Some((name, is_here)) = level.names.next() {
                if let Some(quiet_at) = self.entry(&name, is_here)? {
                    let names = self.names()?;
                    levels.push(Level { names, quiet_at });
                }
                continue;
            }
            if let Some(at) = level.quiet_at
                && self.found.len() > at
            {
                self.found.insert(at, change(ChangeKind::Modified, self.upper.path()));
            }
            levels.pop();
            self.upper.leave()?;
            for side in [&mut self.lower, &mut self.since].into_iter().flatten() {
                side.leave()?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<std::vec::IntoIter<(CString, bool)>> {
        let (upper, path) = (self.upper.here(), self.upper.path());
        let names = sorted(upper).named("getdents64", path)?;
        let whole = !self.overlay || xattr::get(upper, c"", overlay_opaque()).named("getxattr", path)?.as_deref() == Some(b"y");
        let mut all: Vec<(CString, bool)> = names.into_iter().map(|name| (name, true)).collect();
        // An entry that was deleted without a mark can only be found by its name: among all lower entries, or among those of the copy.
        let before = if whole { &self.lower } else { &self.since };
        if let Some(before) = before.as_ref().and_then(Side::here) {
            let here = all.len();
            for name in sorted(before).named("getdents64", path)? {
                if all[..here].binary_search_by(|known| known.0.cmp(&name)).is_err() {
                    all.push((name, false));
                }
            }
            all.sort_unstable();
        }
        Ok(all.into_iter())
    }

    /// Reports one entry. Some: the entry is a directory, which is the current one now. The inner value is the number of changes that were
    /// reported before it, if it was not reported itself.
    fn entry(&mut self, name: &CStr, is_here: bool) -> Result<Option<Option<usize>>> {
        let path = &self.upper.join(name);
        let upper = self.upper.here();
        let above = match is_here {
            true => at::find(upper, name)
                .named("stat", path)?
                .filter(|stat| !(self.overlay && stat.is_whiteout())),
            false => None,
        };
        let lower = self.lower.as_ref().and_then(Side::here);
        let below = match lower {
            Some(lower) => at::find(lower, name).named("stat", path)?,
            None => None,
        };
        let Some(stat) = above else {
            if below.is_some() {
                self.report(ChangeKind::Deleted, path)?;
            }
            return Ok(None);
        };
        if below.is_none() && self.own.is_ours(upper, name, path, &stat)? {
            return Ok(None);
        }
        if let (Some(touched), Some(below)) = (self.touched, &below)
            && touched.spares(below, &stat)
        {
            return Ok(None);
        }
        let kind = match (below, lower) {
            (Some(below), Some(lower)) => match differs((lower, &below), (upper, &stat), name, path) {
                // The entry was removed meanwhile.
                Err(failure) if failure.is_gone() => return Ok(None),
                other => other?.then_some(ChangeKind::Modified),
            },
            _ => Some(ChangeKind::Added),
        };
        let was_directory = below.is_some_and(|below| below.is_directory());
        let before = lower
            .filter(|_| was_directory)
            .map(|lower| open(lower, name, path))
            .transpose()?
            .flatten();
        let now = stat.is_directory().then(|| open(upper, name, path)).transpose()?;
        let found_before = self.found.len();
        if let Some(kind) = kind {
            self.report(kind, path)?;
        }
        match now {
            Some(Some(directory)) => {
                let since = self.since.as_ref().and_then(Side::here);
                let since = since.map(|since| directory_of(since, name, path)).transpose()?.flatten();
                self.upper.enter(name, directory)?;
                if let Some(side) = &mut self.lower {
                    side.enter(name, before)?;
                }
                if let Some(side) = &mut self.since {
                    side.enter(name, since)?;
                }
                return Ok(Some(kind.is_none().then_some(found_before)));
            }
            // A mount point, which is no part of the tree, or an entry that was removed meanwhile.
            Some(None) => {}
            None => {
                if let Some(before) = before {
                    for name in sorted(before.as_fd()).named("getdents64", path)? {
                        self.report(ChangeKind::Deleted, &join(path, name.to_bytes()))?;
                    }
                }
            }
        }
        Ok(None)
    }

    fn report(&mut self, kind: ChangeKind, path: &[u8]) -> Result<()> {
        self.bytes += path.len();
        if self.bytes > LARGEST_CHANGES {
            let text = "the container has more changes than one answer may hold; commit or export it to see them all";
            return Err(Failure::new(Code::ResourceExhausted, text));
        }
        self.found.push(change(kind, path));
        Ok(())
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

/// None: the directory is a mount point, or was removed meanwhile.
fn open(directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<Option<OwnedFd>> {
    match at::open_directory(directory, name) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => Ok(None),
        Err(error) => Err(error).named("openat2", path),
    }
}

/// Compares mode, owner, device and capabilities; for other entries than directories also size and time.
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

/// Compares two times. A time in whole seconds may come from an archive without fractions.
fn same_time(before: at::Time, now: at::Time) -> bool {
    before.seconds == now.seconds && (before.nanoseconds == now.nanoseconds || before.nanoseconds == 0 || now.nanoseconds == 0)
}
