//! Applies a layer to a tree.

use super::deferred::Deferred;
use super::inflate::inflate;
use super::member::{Kind, Member};
use super::place::{Below, Place, Places};
use super::reader::{Reader, about};
use super::{Layer, OPAQUE, WHITEOUT, entry, overlay_opaque};
use crate::failure::{Code, Result};
use crate::limits::{LONGEST_NAME, LONGEST_PATH};
use crate::sys::{at, xattr};
use crate::tree::{Cancel, Descent, Named, copy_entry, join, list, remove_at, shown};
use std::collections::HashSet;
use std::ffi::CStr;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How a whiteout is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// The named entry is removed from the tree, unless this layer added it.
    Remove,
    /// The tree is an overlay's upper directory, and gets the overlay's own marks.
    Overlay,
}

pub struct Options {
    pub whiteouts: Whiteouts,
    /// With [`Whiteouts::Overlay`]: the lower directories, the topmost first. None: they are not known yet. Then every whiteout is kept,
    /// and nothing is copied up.
    pub lowers: Option<Vec<OwnedFd>>,
}

/// Applies the layer in `file` (gzip, zstd or plain, detected by its first bytes) to the tree at `root`.
///
/// Fails with `InvalidArgument` if the file is no layer, or a member reaches outside of the root (the message names the member), and with
/// `DataLoss` if the file is damaged or truncated. The changes that were applied until then stay.
pub fn apply(root: BorrowedFd, file: impl Read + Send, options: Options, cancel: &Cancel) -> Result<Layer> {
    let root = at::open_beneath(root, b"", libc::O_PATH | libc::O_DIRECTORY).named("openat2", b"")?;
    let ((), layer) = inflate(file, cancel, |stream| {
        let mut applier = Applier {
            lowers_known: options.lowers.is_some(),
            whiteouts: options.whiteouts,
            places: Places::new(root, options.whiteouts, options.lowers.unwrap_or_default())?,
            deferred: Deferred::default(),
            brought: Brought::default(),
            cancel,
        };
        let mut reader = Reader::new(stream).canceled_by(cancel);
        while let Some(member) = reader.next_member()? {
            cancel.check()?;
            applier.member(&mut reader, &member).map_err(|failure| named(failure, &member))?;
        }
        reader.drain()?;
        let root = applier.places.root();
        applier.deferred.settle(root.fd.as_fd(), cancel)
    })?;
    Ok(layer)
}

/// Adds the member's name to a failure.
fn named(mut failure: crate::failure::Failure, member: &Member) -> crate::failure::Failure {
    let name = member.shown();
    if failure.code != Code::Canceled && !failure.message.contains(&name) {
        failure.message = format!("{name}: {}", failure.message);
    }
    failure.path.get_or_insert(name);
    failure
}

struct Applier<'a> {
    places: Places,
    whiteouts: Whiteouts,
    lowers_known: bool,
    deferred: Deferred,
    brought: Brought,
    cancel: &'a Cancel,
}

impl Applier<'_> {
    fn member<R: BufRead>(&mut self, reader: &mut Reader<R>, member: &Member) -> Result<()> {
        let path = components(member, &member.name)?;
        let Some((name, parent)) = path.split_last() else {
            return self.root(member);
        };
        if name.starts_with(WHITEOUT) {
            return self.whiteout(member, parent, name);
        }
        let brought = &mut self.brought;
        let place = self
            .places
            .find(parent, true, &mut self.deferred, |place, name| brought.add(place, name))?;
        let Some(place) = place else { return Ok(()) };
        let name = at::c_string(name).named("openat", &member.name)?;
        match member.kind {
            Kind::Directory => self.directory(member, &place, &name)?,
            Kind::HardLink => self.hard_link(member, &place, &name)?,
            Kind::File => {
                self.clear(member, &place, &name)?;
                entry::file(reader, member, &place, &name, self.cancel)?;
            }
            _ => {
                self.clear(member, &place, &name)?;
                entry::special(member, &place, &name)?;
            }
        }
        self.brought.add(&place, name.to_bytes());
        Ok(())
    }

    fn root(&mut self, member: &Member) -> Result<()> {
        if member.kind != Kind::Directory {
            return Err(about(member, "the root of a layer is a directory"));
        }
        entry::directory(member, &self.places.root(), c"", false)?;
        self.deferred.state(b"", member)?;
        Ok(())
    }

    fn directory(&mut self, member: &Member, place: &Place, name: &CStr) -> Result<()> {
        let existing = at::find(place.fd.as_fd(), name).named("stat", &member.name)?;
        let is_new = !existing.is_some_and(|stat| stat.is_directory());
        if is_new {
            let hides = existing.is_some();
            if hides {
                self.clear(member, place, name)?;
            }
            at::make_directory(place.fd.as_fd(), name, 0o700).named("mkdir", &member.name)?;
            // The directory replaces a whiteout or a file of this layer, so the entries of lower layers stay hidden.
            if hides && self.whiteouts == Whiteouts::Overlay {
                xattr::set(place.fd.as_fd(), name, overlay_opaque().to_bytes(), b"y").named("setxattr", &member.name)?;
            }
        }
        entry::directory(member, place, name, is_new)?;
        self.deferred.state(&join(&place.path, name.to_bytes()), member)?;
        Ok(())
    }

    fn hard_link(&mut self, member: &Member, place: &Place, name: &CStr) -> Result<()> {
        let target = components(member, &member.link)?;
        let missing = || about(member, &format!("a hard link to {}, which is not there", shown(&member.link)));
        let (last, parent) = target.split_last().ok_or_else(missing)?;
        // This walk replaces the remembered one. `place` stays open, since the caller has a copy.
        let from = self
            .places
            .find(parent, false, &mut self.deferred, |_, _| {})?
            .ok_or_else(missing)?;
        let last = at::c_string(last).named("linkat", &member.name)?;
        if from.inode == place.inode && last.as_c_str() == name {
            return Err(about(member, "a hard link to itself"));
        }
        let stat = match at::find(from.fd.as_fd(), &last).named("stat", &member.link)? {
            Some(stat) if !(stat.is_whiteout() && self.whiteouts == Whiteouts::Overlay) => stat,
            Some(_) => return Err(missing()),
            None => match from.below(&last)? {
                Below::Entry(lower, stat) if !stat.is_directory() => {
                    copy_entry(lower, from.fd.as_fd(), &last, &member.link)?;
                    stat
                }
                Below::Entry(_, stat) => stat,
                Below::Nothing => return Err(missing()),
            },
        };
        if stat.is_directory() {
            return Err(about(member, "a hard link to a directory"));
        }
        self.clear(member, place, name)?;
        match at::hard_link(from.fd.as_fd(), &last, place.fd.as_fd(), name) {
            // The link's target was below the entry that the member replaced.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Err(missing()),
            other => other.named("linkat", &member.name),
        }
    }

    /// Removes an existing entry, of whatever kind, which the member replaces.
    fn clear(&mut self, member: &Member, place: &Place, name: &CStr) -> Result<()> {
        match at::find(place.fd.as_fd(), name).named("stat", &member.name)? {
            None => Ok(()),
            Some(stat) => {
                if stat.is_directory() || stat.kind() == libc::S_IFLNK {
                    self.places.forget();
                }
                remove_at(place.fd.as_fd(), name, &member.name, self.cancel)
            }
        }
    }

    fn whiteout(&mut self, member: &Member, parent: &[&[u8]], name: &[u8]) -> Result<()> {
        // Without the directory there is nothing to hide.
        let Some(place) = self.places.find(parent, false, &mut self.deferred, |_, _| {})? else {
            return Ok(());
        };
        if name == OPAQUE {
            return self.opaque(member, &place);
        }
        let hidden = &name[WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(about(member, "a whiteout of nothing"));
        }
        // Marks of the old aufs, which hide nothing.
        if hidden.starts_with(WHITEOUT) {
            return Ok(());
        }
        let hidden = at::c_string(hidden).named("unlink", &member.name)?;
        self.places.forget();
        match self.whiteouts {
            Whiteouts::Remove => self.sweep(place.fd.as_fd(), place.inode.1, &hidden, &member.name),
            Whiteouts::Overlay => self.mark(member, &place, &hidden),
        }
    }

    fn opaque(&mut self, member: &Member, place: &Place) -> Result<()> {
        self.places.forget();
        let directory = at::open_beneath(place.fd.as_fd(), b"", libc::O_RDONLY | libc::O_DIRECTORY).named("openat2", &member.name)?;
        for name in list(directory.as_fd()).named("getdents64", &member.name)? {
            self.sweep(directory.as_fd(), place.inode.1, &name, &member.name)?;
        }
        match self.whiteouts {
            Whiteouts::Remove => Ok(()),
            Whiteouts::Overlay if self.lowers_known && place.lowers.is_empty() => Ok(()),
            Whiteouts::Overlay => xattr::set(place.fd.as_fd(), c"", overlay_opaque().to_bytes(), b"y").named("setxattr", &member.name),
        }
    }

    /// Removes the entries of lower layers under `name`, and keeps those that this layer added (OCI: a whiteout hides lower layers only).
    fn sweep(&mut self, directory: BorrowedFd, inode: u64, name: &CStr, path: &[u8]) -> Result<()> {
        let mut descent = Descent::new(directory, b"");
        let mut ahead = vec![(inode, vec![name.to_owned()].into_iter())];
        while let Some((inode, names)) = ahead.last_mut() {
            self.cancel.check()?;
            let Some(name) = names.next() else {
                ahead.pop();
                descent.leave()?;
                continue;
            };
            if !self.brought.has(*inode, name.to_bytes()) {
                remove_at(descent.here(), &name, path, self.cancel)?;
                continue;
            }
            let Some(stat) = at::find(descent.here(), &name).named("stat", path)?.filter(at::Stat::is_directory) else {
                continue;
            };
            descent.enter(&name, descent.open(&name).named("openat2", path)?)?;
            let names = list(descent.here()).named("getdents64", path)?;
            ahead.push((stat.0.st_ino, names.into_iter()));
        }
        Ok(())
    }

    /// Makes the overlay's own whiteout, if there is something to hide. If the upper directory was not empty at first, its older entries
    /// are removed, as from any tree.
    fn mark(&mut self, member: &Member, place: &Place, name: &CStr) -> Result<()> {
        self.sweep(place.fd.as_fd(), place.inode.1, name, &member.name)?;
        match at::find(place.fd.as_fd(), name).named("stat", &member.name)? {
            Some(stat) if stat.is_directory() => {
                xattr::set(place.fd.as_fd(), name, overlay_opaque().to_bytes(), b"y").named("setxattr", &member.name)
            }
            Some(_) => Ok(()),
            None if self.lowers_known && matches!(place.below(name)?, Below::Nothing) => Ok(()),
            None => at::make_node(place.fd.as_fd(), name, libc::S_IFCHR, 0).named("mknod", &member.name),
        }
    }
}

/// The components of a path in an archive. A leading `/` means the layer's root. `..` is refused: no regular layer has one.
fn components<'a>(member: &Member, path: &'a [u8]) -> Result<Vec<&'a [u8]>> {
    if path.len() > LONGEST_PATH + WHITEOUT.len() {
        return Err(about(member, &format!("a path of more than {LONGEST_PATH} bytes")));
    }
    let components: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .collect();
    // A whiteout's name is the name that it hides, with a prefix.
    let longest = |name: &[u8]| {
        if name.starts_with(WHITEOUT) {
            LONGEST_NAME + WHITEOUT.len()
        } else {
            LONGEST_NAME
        }
    };
    match components.iter().find(|name| **name == b".." || name.len() > longest(name)) {
        None => Ok(components),
        Some(name) if *name == b".." => Err(about(member, "a path with `..` may lead out of the layer; such a layer is refused")),
        Some(_) => Err(about(member, &format!("a name of more than {LONGEST_NAME} bytes"))),
    }
}

/// The entries that this layer has made, as hashes of directory and name: eight bytes for each member.
#[derive(Default)]
struct Brought {
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Brought {
    fn add(&mut self, place: &Place, name: &[u8]) {
        self.seen.insert(self.hasher.hash_one((place.inode.1, name)));
    }

    fn has(&self, inode: u64, name: &[u8]) -> bool {
        self.seen.contains(&self.hasher.hash_one((inode, name)))
    }
}
