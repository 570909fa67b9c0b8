//! Writes what a tree changes as a layer.
//!
//! Two ways give the same layer: comparing two trees, and reading an overlay's upper directory, where the kernel has noted the changes already (what was copied up and
//! left as it was counts as changed there). Members come in the order of their paths' bytes, directory by directory; a directory that leads to a change is
//! written with it; a whiteout stands where the name that it hides would.

use super::changes::Pair;
use super::deflate::Stream;
use super::deflate::deflate;
use super::emit::{Emitter, Purpose};
use super::own::Own;
use super::{Compression, Layer, OPAQUE, OVERLAY_OPAQUE, WHITEOUT};
use crate::failure::Result;
use crate::tree::{Cancel, DEEPEST, Named, at, join, sorted, too_deep, xattr};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What `upper` changes against `lower` (none: all of it). Both are opened for reading.
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

/// What an overlay's upper directory says that it did not say when it was `since`, another upper directory over the same lower ones, of which it began as a copy.
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

/// What two directories hold that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trees {
    /// All that there is.
    Whole,
    /// Changes against the same lower directories, with the overlay's marks.
    Uppers,
}

impl Trees {
    fn is_gone(self, stat: &at::Stat) -> bool {
        self == Trees::Uppers && stat.is_whiteout()
    }

    fn hides_all(self, directory: BorrowedFd, path: &[u8]) -> Result<bool> {
        Ok(self == Trees::Uppers && is_opaque(directory, path)?)
    }

    /// A directory that hides all below it, as it did not before, has nothing left of what was there.
    fn replaced(self, lower: BorrowedFd, upper: BorrowedFd, path: &[u8]) -> Result<bool> {
        Ok(self.hides_all(upper, path)? && !self.hides_all(lower, path)?)
    }

    /// The entry `name` of the lower tree, where it has one.
    fn find<'a>(self, lower: Option<BorrowedFd<'a>>, name: &CStr, path: &[u8]) -> Result<Option<(BorrowedFd<'a>, at::Stat)>> {
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
            linked.walk(lower, upper, b"", 0)?;
        }
        let mut walk = Walk {
            emitter: Emitter::new(stream, Purpose::Layer, cancel),
            trees,
            own,
            linked: linked.changed,
            pending: Vec::new(),
        };
        walk.children(lower, upper, b"", 0)?;
        walk.emitter.finish()
    })
}

/// What an overlay's upper directory says about itself.
pub fn diff_overlay(upper: BorrowedFd, own: &Own, into: File, compression: Compression, cancel: &Cancel) -> Result<Layer> {
    deflate(into, compression, |stream| {
        let mut emitter = Emitter::new(stream, Purpose::Layer, cancel);
        upper_directory(&mut emitter, own, upper, b"", 0)?;
        emitter.finish()
    })
}

fn upper_directory(emitter: &mut Emitter<&mut Stream>, own: &Own, directory: BorrowedFd, path: &[u8], depth: usize) -> Result<()> {
    if depth > DEEPEST {
        return Err(too_deep(path));
    }
    if is_opaque(directory, path)? {
        emitter.whiteout(path, OPAQUE)?;
    }
    for name in sorted(directory).named("getdents64", path)? {
        let here = join(path, name.to_bytes());
        let stat = at::stat(directory, &name).named("stat", &here)?;
        if stat.is_whiteout() {
            emitter.whiteout(path, &[WHITEOUT, name.to_bytes()].concat())?;
            continue;
        }
        if own.is_ours(directory, &name, &here, &stat)? {
            continue;
        }
        emitter.entry(directory, &name, &here, &stat)?;
        if stat.is_directory() {
            upper_directory(emitter, own, open(directory, &name, &here)?.as_fd(), &here, depth + 1)?;
        }
    }
    Ok(())
}

fn open(directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<OwnedFd> {
    at::open_directory(directory, name).named("openat2", path)
}

fn is_opaque(directory: BorrowedFd, path: &[u8]) -> Result<bool> {
    Ok(xattr::get(directory, c"", OVERLAY_OPAQUE).named("getxattr", path)?.as_deref() == Some(b"y"))
}

/// Looks ahead for files with several names of which one has changed: they change together, or the layer would tear them apart.
struct Linked<'a> {
    trees: Trees,
    changed: HashSet<(u64, u64)>,
    cancel: &'a Cancel,
}

impl Linked<'_> {
    fn walk(&mut self, lower: BorrowedFd, upper: BorrowedFd, path: &[u8], depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(too_deep(path));
        }
        self.cancel.check()?;
        if self.trees.replaced(lower, upper, path)? {
            return self.all(upper, path, depth);
        }
        for name in sorted(upper).named("getdents64", path)? {
            let here = join(path, name.to_bytes());
            let stat = at::stat(upper, &name).named("stat", &here)?;
            if self.trees.is_gone(&stat) {
                continue;
            }
            let below = self.trees.find(Some(lower), &name, &here)?;
            if stat.is_directory() {
                if below.is_some_and(|(_, below)| below.is_directory()) {
                    self.walk(
                        open(lower, &name, &here)?.as_fd(),
                        open(upper, &name, &here)?.as_fd(),
                        &here,
                        depth + 1,
                    )?;
                } else {
                    self.all(open(upper, &name, &here)?.as_fd(), &here, depth + 1)?;
                }
            } else if stat.0.st_nlink > 1 && !self.changed.contains(&stat.inode()) {
                let pair = below.map(|lower| Pair {
                    lower,
                    upper: (upper, stat),
                    name: &name,
                    path: &here,
                });
                if pair.map_or(Ok(true), |pair| pair.differs())? {
                    self.changed.insert(stat.inode());
                }
            }
        }
        Ok(())
    }

    /// A directory that the lower tree lacks: all is new.
    fn all(&mut self, directory: BorrowedFd, path: &[u8], depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(too_deep(path));
        }
        for name in sorted(directory).named("getdents64", path)? {
            let here = join(path, name.to_bytes());
            let stat = at::stat(directory, &name).named("stat", &here)?;
            if stat.is_directory() {
                self.all(open(directory, &name, &here)?.as_fd(), &here, depth + 1)?;
            } else if stat.0.st_nlink > 1 {
                self.changed.insert(stat.inode());
            }
        }
        Ok(())
    }
}

/// A directory that has not been written, since nothing in it has changed so far.
struct Pending {
    directory: OwnedFd,
    name: CString,
    path: Vec<u8>,
    stat: at::Stat,
}

struct Walk<'a> {
    emitter: Emitter<'a, &'a mut Stream>,
    trees: Trees,
    own: &'a Own,
    linked: HashSet<(u64, u64)>,
    pending: Vec<Pending>,
}

impl Walk<'_> {
    fn children(&mut self, lower: Option<BorrowedFd>, upper: BorrowedFd, path: &[u8], depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(too_deep(path));
        }
        let fresh = match lower {
            Some(lower) => self.trees.replaced(lower, upper, path)?,
            None => self.trees.hides_all(upper, path)?,
        };
        if fresh {
            self.settle()?;
            self.emitter.whiteout(path, OPAQUE)?;
        }
        let lower = lower.filter(|_| !fresh);
        let mut names = sorted(upper).named("getdents64", path)?;
        let here = names.len();
        if let Some(lower) = lower {
            names.extend(sorted(lower).named("getdents64", path)?);
        }
        let (here, below) = names.split_at(here);
        for (name, is_here) in merged(here, below) {
            let full = join(path, name.to_bytes());
            if is_here {
                self.entry(lower, upper, path, name, &full, depth)?;
            } else if self.trees.find(lower, name, &full)?.is_some() {
                self.gone(path, name)?;
            }
        }
        Ok(())
    }

    fn gone(&mut self, directory: &[u8], name: &CStr) -> Result<()> {
        self.settle()?;
        self.emitter.whiteout(directory, &[WHITEOUT, name.to_bytes()].concat())
    }

    fn entry(
        &mut self,
        lower: Option<BorrowedFd>,
        upper: BorrowedFd,
        directory: &[u8],
        name: &CStr,
        path: &[u8],
        depth: usize,
    ) -> Result<()> {
        let stat = at::stat(upper, name).named("stat", path)?;
        if self.trees.is_gone(&stat) {
            let known = match lower {
                Some(lower) => at::find(lower, name)
                    .named("stat", path)?
                    .is_some_and(|stat| self.trees.is_gone(&stat)),
                None => false,
            };
            return if known { Ok(()) } else { self.gone(directory, name) };
        }
        let below = self.trees.find(lower, name, path)?;
        if below.is_none() && self.own.is_ours(upper, name, path, &stat)? {
            return Ok(());
        }
        let pair = below.map(|lower| Pair {
            lower,
            upper: (upper, stat),
            name,
            path,
        });
        let changed = !stat.is_directory() && stat.0.st_nlink > 1 && self.linked.contains(&stat.inode())
            || pair.map_or(Ok(true), |pair| pair.differs())?;
        if changed {
            self.settle()?;
            self.emitter.entry(upper, name, path, &stat)?;
        }
        if !stat.is_directory() {
            return Ok(());
        }
        let child = open(upper, name, path)?;
        let child_lower = match below {
            Some((lower, below)) if below.is_directory() => Some(open(lower, name, path)?),
            _ => None,
        };
        let waiting = self.pending.len();
        if !changed {
            let directory = upper.try_clone_to_owned().named("dup", path)?;
            self.pending.push(Pending {
                directory,
                name: name.to_owned(),
                path: path.to_vec(),
                stat,
            });
        }
        self.children(child_lower.as_ref().map(|fd| fd.as_fd()), child.as_fd(), path, depth + 1)?;
        self.pending.truncate(waiting);
        Ok(())
    }

    /// Something has changed here: the directories that lead to it are written first.
    fn settle(&mut self) -> Result<()> {
        for Pending {
            directory,
            name,
            path,
            stat,
        } in std::mem::take(&mut self.pending)
        {
            self.emitter.entry(directory.as_fd(), &name, &path, &stat)?;
        }
        Ok(())
    }
}

/// Two sorted lists as one, each name once; the flag says whether the upper tree has it.
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
