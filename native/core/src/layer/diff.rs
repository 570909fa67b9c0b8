//! Writes the changes of a tree as a layer.
//!
//! There are three ways, which give the same layer: comparing two trees; comparing a btrfs snapshot with its origin where it was touched
//! since; and reading an overlay's upper directory, in which the kernel has recorded the changes already (a file that was copied up without
//! changes counts as changed there). Members are in the order of their
//! paths' bytes, directory by directory. A directory that leads to a change is written, too. A whiteout has the position of the name that
//! it hides.

use super::changes::Pair;
use super::deflate::Stream;
use super::deflate::deflate;
use super::emit::{Emitter, Purpose};
use super::own::Own;
use super::{Compression, Layer, OPAQUE, WHITEOUT, overlay_opaque};
use crate::failure::Result;
use crate::sys::{at, xattr};
use crate::tree::btrfs::Touched;
use crate::tree::{Cancel, Descent, Named, sorted};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Writes the changes from `lower` (None: an empty tree) to `upper`. Both are opened for reading.
pub fn diff(
    lower: Option<BorrowedFd>,
    upper: BorrowedFd,
    own: &Own,
    into: File,
    compression: Compression,
    cancel: &Cancel,
) -> Result<Layer> {
    compare(lower, upper, Trees::Whole, own, into, compression, cancel)
}

/// Like [`diff`], for a snapshot of the lower tree.
pub fn diff_snapshot(
    lower: BorrowedFd,
    upper: BorrowedFd,
    touched: &Touched,
    own: &Own,
    into: File,
    compression: Compression,
    cancel: &Cancel,
) -> Result<Layer> {
    compare(Some(lower), upper, Trees::Snapshot(touched), own, into, compression, cancel)
}

/// Writes the changes in an overlay's upper directory since it was a copy of `since`, another upper directory over the same lower ones.
pub fn diff_overlay_since(
    since: BorrowedFd,
    upper: BorrowedFd,
    own: &Own,
    into: File,
    compression: Compression,
    cancel: &Cancel,
) -> Result<Layer> {
    compare(Some(since), upper, Trees::Uppers, own, into, compression, cancel)
}

/// The contents of two directories that are compared.
#[derive(Clone, Copy)]
enum Trees<'a> {
    /// Complete trees.
    Whole,
    /// A tree and its snapshot, with what may have changed in that.
    Snapshot(&'a Touched),
    /// Changes to the same lower directories, with the overlay's marks.
    Uppers,
}

impl Trees<'_> {
    fn is_gone(self, stat: &at::Stat) -> bool {
        matches!(self, Trees::Uppers) && stat.is_whiteout()
    }

    fn hides_all(self, directory: BorrowedFd, path: &[u8]) -> Result<bool> {
        Ok(matches!(self, Trees::Uppers) && is_opaque(directory, path)?)
    }

    /// Whether an entry is known to be the same in both trees, with everything below it.
    fn spares(self, lower: Option<&(BorrowedFd, at::Stat)>, upper: &at::Stat) -> bool {
        match (self, lower) {
            (Trees::Snapshot(touched), Some((_, lower))) => touched.spares(lower, upper),
            _ => false,
        }
    }

    /// Whether a directory became opaque, so that none of its earlier entries is left.
    fn replaced(self, lower: BorrowedFd, upper: BorrowedFd, path: &[u8]) -> Result<bool> {
        Ok(self.hides_all(upper, path)? && !self.hides_all(lower, path)?)
    }

    /// The entry `name` of the lower tree, if there is one.
    fn find<'b>(self, lower: Option<BorrowedFd<'b>>, name: &CStr, path: &[u8]) -> Result<Option<(BorrowedFd<'b>, at::Stat)>> {
        let Some(lower) = lower else { return Ok(None) };
        let found = at::find(lower, name).named("stat", path)?;
        Ok(found.filter(|stat| !self.is_gone(stat)).map(|stat| (lower, stat)))
    }
}

fn compare(
    lower: Option<BorrowedFd>,
    upper: BorrowedFd,
    trees: Trees,
    own: &Own,
    into: File,
    compression: Compression,
    cancel: &Cancel,
) -> Result<Layer> {
    deflate(into, compression, |stream| {
        let mut linked = Linked {
            trees,
            changed: HashSet::new(),
            cancel,
        };
        if let Some(lower) = lower {
            linked.compare(lower, upper)?;
        }
        let widened;
        let trees = match trees {
            // A directory that was moved is new with all below it, also where a file there is untouched and has another name elsewhere.
            Trees::Snapshot(touched) => {
                widened = touched.with(upper, &linked.changed, cancel)?;
                Trees::Snapshot(&widened)
            }
            other => other,
        };
        let mut walk = Walk {
            emitter: Emitter::new(stream, Purpose::Layer, cancel),
            trees,
            own,
            linked: linked.changed,
            pending: Vec::new(),
            lower: lower.map(|root| Lower::new(Descent::new(root, b""))),
            upper: Descent::new(upper, b""),
            root: upper,
            cancel,
        };
        walk.all()?;
        walk.emitter.finish()
    })
}

/// Writes the changes that an overlay's upper directory has recorded.
pub fn diff_overlay(upper: BorrowedFd, own: &Own, into: File, compression: Compression, cancel: &Cancel) -> Result<Layer> {
    deflate(into, compression, |stream| {
        let mut emitter = Emitter::new(stream, Purpose::Layer, cancel);
        upper_directory(&mut emitter, own, upper)?;
        emitter.finish()
    })
}

fn upper_directory(emitter: &mut Emitter<&mut Stream>, own: &Own, root: BorrowedFd) -> Result<()> {
    let mut descent = Descent::new(root, b"");
    let mut ahead = vec![list_upper(emitter, &descent)?];
    while let Some(names) = ahead.last_mut() {
        let Some(name) = names.next() else {
            ahead.pop();
            descent.leave()?;
            continue;
        };
        let here = descent.join(&name);
        let Some(stat) = at::find(descent.here(), &name).named("stat", &here)? else {
            continue;
        };
        if stat.is_whiteout() {
            emitter.whiteout(descent.path(), &[WHITEOUT, name.to_bytes()].concat())?;
            continue;
        }
        if own.is_ours(descent.here(), &name, &here, &stat)? {
            continue;
        }
        if emitter.entry(descent.here(), &name, &here, &stat)?
            && stat.is_directory()
            && let Some(directory) = open(descent.here(), &name, &here)?
        {
            descent.enter(&name, directory)?;
            ahead.push(list_upper(emitter, &descent)?);
        }
    }
    Ok(())
}

/// The names in the current directory. Writes the opaque mark if the directory is opaque.
fn list_upper(emitter: &mut Emitter<&mut Stream>, descent: &Descent) -> Result<std::vec::IntoIter<CString>> {
    if is_opaque(descent.here(), descent.path())? {
        emitter.whiteout(descent.path(), OPAQUE)?;
    }
    Ok(sorted(descent.here()).named("getdents64", descent.path())?.into_iter())
}

/// None: the directory was removed or replaced meanwhile.
fn open(directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<Option<OwnedFd>> {
    match at::open_directory(directory, name).named("openat2", path) {
        Err(failure) if failure.is_gone() => Ok(None),
        other => other.map(Some),
    }
}

fn is_opaque(directory: BorrowedFd, path: &[u8]) -> Result<bool> {
    Ok(xattr::get(directory, c"", overlay_opaque()).named("getxattr", path)?.as_deref() == Some(b"y"))
}

/// Finds files with several names of which one has changed. All names must be written, or the layer would separate them.
struct Linked<'a> {
    trees: Trees<'a>,
    changed: HashSet<(u64, u64)>,
    cancel: &'a Cancel,
}

impl Linked<'_> {
    fn compare(&mut self, lower: BorrowedFd, upper: BorrowedFd) -> Result<()> {
        let mut upper = Descent::new(upper, b"");
        let mut lower = Lower::new(Descent::new(lower, b""));
        let mut ahead = vec![self.level(&mut lower, &upper)?];
        while let Some(names) = ahead.last_mut() {
            self.cancel.check()?;
            let Some(name) = names.next() else {
                ahead.pop();
                upper.leave()?;
                lower.leave()?;
                continue;
            };
            let here = upper.join(&name);
            let Some(stat) = at::find(upper.here(), &name)
                .named("stat", &here)?
                .filter(|stat| !self.trees.is_gone(stat))
            else {
                continue;
            };
            let below = self.trees.find(lower.here(), &name, &here)?;
            if self.trees.spares(below.as_ref(), &stat) {
                continue;
            }
            if stat.is_directory() {
                let before = match below {
                    Some((lower, below)) if below.is_directory() => open(lower, &name, &here)?,
                    _ => None,
                };
                let Some(directory) = open(upper.here(), &name, &here)? else {
                    continue;
                };
                upper.enter(&name, directory)?;
                lower.enter(&name, before)?;
                ahead.push(self.level(&mut lower, &upper)?);
            } else if stat.0.st_nlink > 1 && !self.changed.contains(&stat.inode()) {
                let pair = below.map(|lower| Pair {
                    lower,
                    upper: (upper.here(), stat),
                    name: &name,
                    path: &here,
                });
                if pair.map_or(Ok(true), |pair| pair.differs_or_went())? {
                    self.changed.insert(stat.inode());
                }
            }
        }
        Ok(())
    }

    /// The names in the current directory of the upper tree. If the directory became opaque, everything in it is new.
    fn level(&self, lower: &mut Lower, upper: &Descent) -> Result<std::vec::IntoIter<CString>> {
        if let Some(before) = lower.here()
            && self.trees.replaced(before, upper.here(), upper.path())?
        {
            lower.hide();
        }
        Ok(sorted(upper.here()).named("getdents64", upper.path())?.into_iter())
    }
}

/// The lower tree, which follows a walk through the upper one.
struct Lower<'a> {
    descent: Descent<'a>,
    /// For each level of the upper tree that this tree lacks or that is hidden: whether the descent entered it.
    missing: Vec<bool>,
}

impl<'a> Lower<'a> {
    fn new(descent: Descent<'a>) -> Self {
        let missing = Vec::new();
        Lower { descent, missing }
    }

    fn here(&self) -> Option<BorrowedFd<'_>> {
        self.missing.is_empty().then(|| self.descent.here())
    }

    fn enter(&mut self, name: &CStr, directory: Option<OwnedFd>) -> Result<()> {
        match directory {
            Some(directory) => self.descent.enter(name, directory),
            None => {
                self.missing.push(false);
                Ok(())
            }
        }
    }

    /// From now on the current directory counts as missing.
    fn hide(&mut self) {
        self.missing.push(true);
    }

    fn leave(&mut self) -> Result<()> {
        match self.missing.pop() {
            Some(false) => Ok(()),
            Some(true) | None => self.descent.leave(),
        }
    }
}

/// A directory that is not written yet, since nothing in it has changed so far.
struct Pending {
    path: Vec<u8>,
    stat: at::Stat,
    /// Its depth; the root's entries are at 1.
    depth: usize,
}

struct Walk<'a> {
    emitter: Emitter<'a, &'a mut Stream>,
    trees: Trees<'a>,
    own: &'a Own,
    linked: HashSet<(u64, u64)>,
    pending: Vec<Pending>,
    lower: Option<Lower<'a>>,
    upper: Descent<'a>,
    root: BorrowedFd<'a>,
    cancel: &'a Cancel,
}

impl Walk<'_> {
    fn all(&mut self) -> Result<()> {
        let mut ahead = vec![self.level()?];
        while let Some(names) = ahead.last_mut() {
            self.cancel.check()?;
            let Some((name, is_here)) = names.next() else {
                ahead.pop();
                let depth = ahead.len();
                self.pending
                    .truncate(self.pending.iter().take_while(|pending| pending.depth < depth).count());
                self.upper.leave()?;
                if let Some(lower) = &mut self.lower {
                    lower.leave()?;
                }
                continue;
            };
            if !is_here {
                let lower = self.lower.as_ref().and_then(Lower::here);
                if self.trees.find(lower, &name, &self.upper.join(&name))?.is_some() {
                    self.gone(&name)?;
                }
            } else if self.entry(&name, ahead.len())? {
                ahead.push(self.level()?);
            }
        }
        Ok(())
    }

    /// The names in the current directories of both trees; true: the upper tree has the name.
    fn level(&mut self) -> Result<std::vec::IntoIter<(CString, bool)>> {
        let path = self.upper.path().to_vec();
        let lower = self.lower.as_ref().and_then(Lower::here);
        let fresh = match lower {
            Some(lower) => self.trees.replaced(lower, self.upper.here(), &path)?,
            None => self.trees.hides_all(self.upper.here(), &path)?,
        };
        let here = sorted(self.upper.here()).named("getdents64", &path)?;
        let below = match lower.filter(|_| !fresh) {
            Some(lower) => sorted(lower).named("getdents64", &path)?,
            None => Vec::new(),
        };
        if fresh {
            self.settle()?;
            self.emitter.whiteout(&path, OPAQUE)?;
            if let Some(lower) = self.lower.as_mut().filter(|lower| lower.here().is_some()) {
                lower.hide();
            }
        }
        Ok(merged(&here, &below)
            .map(|(name, is_here)| (name.to_owned(), is_here))
            .collect::<Vec<_>>()
            .into_iter())
    }

    fn gone(&mut self, name: &CStr) -> Result<()> {
        self.settle()?;
        self.emitter.whiteout(self.upper.path(), &[WHITEOUT, name.to_bytes()].concat())
    }

    /// Handles one entry of the upper tree. True: it is a directory, which is the current one now.
    fn entry(&mut self, name: &CStr, depth: usize) -> Result<bool> {
        let path = self.upper.join(name);
        let Some(stat) = at::find(self.upper.here(), name).named("stat", &path)? else {
            return Ok(false);
        };
        let lower = self.lower.as_ref().and_then(Lower::here);
        if self.trees.is_gone(&stat) {
            let known = match lower {
                Some(lower) => at::find(lower, name)
                    .named("stat", &path)?
                    .is_some_and(|stat| self.trees.is_gone(&stat)),
                None => false,
            };
            if !known {
                self.gone(name)?;
            }
            return Ok(false);
        }
        let below = self.trees.find(lower, name, &path)?;
        if self.trees.spares(below.as_ref(), &stat) {
            return Ok(false);
        }
        if below.is_none() && self.own.is_ours(self.upper.here(), name, &path, &stat)? {
            return Ok(false);
        }
        let pair = below.map(|lower| Pair {
            lower,
            upper: (self.upper.here(), stat),
            name,
            path: &path,
        });
        let changed = !stat.is_directory() && stat.0.st_nlink > 1 && self.linked.contains(&stat.inode())
            || pair.map_or(Ok(true), |pair| pair.differs_or_went())?;
        let before = match below {
            Some((lower, below)) if stat.is_directory() && below.is_directory() => open(lower, name, &path)?,
            _ => None,
        };
        if changed {
            self.settle()?;
            self.emitter.entry(self.upper.here(), name, &path, &stat)?;
        }
        if !stat.is_directory() {
            return Ok(false);
        }
        let Some(directory) = open(self.upper.here(), name, &path)? else {
            return Ok(false);
        };
        self.upper.enter(name, directory)?;
        if let Some(lower) = &mut self.lower {
            lower.enter(name, before)?;
        }
        if !changed {
            self.pending.push(Pending { path, stat, depth });
        }
        Ok(true)
    }

    /// Writes the directories that lead to a change.
    fn settle(&mut self) -> Result<()> {
        for Pending { path, stat, .. } in std::mem::take(&mut self.pending) {
            let directory = match at::open_beneath(self.root, &path, libc::O_RDONLY | libc::O_DIRECTORY).named("openat2", &path) {
                Err(failure) if failure.is_gone() => continue,
                other => other?,
            };
            self.emitter.entry(directory.as_fd(), c".", &path, &stat)?;
        }
        Ok(())
    }
}

/// Merges two sorted lists, each name once. The flag says whether the upper tree has the name.
fn merged<'a>(mut upper: &'a [CString], mut lower: &'a [CString]) -> impl Iterator<Item = (&'a CStr, bool)> {
    std::iter::from_fn(move || {
        let order = match (upper.first(), lower.first()) {
            (None, None) => return None,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(ours), Some(theirs)) => ours.cmp(theirs),
        };
        if order.is_le() {
            let name = upper.first()?;
            upper = &upper[1..];
            lower = &lower[usize::from(order.is_eq())..];
            return Some((name.as_c_str(), true));
        }
        let name = lower.first()?;
        lower = &lower[1..];
        Some((name.as_c_str(), false))
    })
}
