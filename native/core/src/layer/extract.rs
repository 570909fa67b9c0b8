//! Extracts a user's archive into a container's tree, for `cp`.
//!
//! Unlike a layer, the archive has no whiteouts and is extracted below a directory. Names that lead above that directory are refused. Links
//! in the container are followed as the container would follow them, but never out of its root, whatever a process inside does to the tree
//! meanwhile: each directory is opened from its parent, without following links.

use super::deferred::Deferred;
use super::inflate::inflate;
use super::member::{Kind, Member};
use super::pack::{follows, refuse_made_up};
use super::place::{Place, Places};
use super::reader::{Reader, about};
use super::{Whiteouts, entry};
use crate::failure::{Code, Failure, Result};
use crate::id_maps::IdMaps;
use crate::limits::{LONGEST_NAME, LONGEST_PATH};
use crate::sys::at;
use crate::sys::owner::as_owner;
use crate::tree::{Cancel, Descent, Named, join, list, remove_at, shown};
use std::ffi::CStr;
use std::io::{BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Default)]
pub struct Extract {
    /// A directory is never replaced by another kind of entry, nor the other way round.
    pub keep_kinds: bool,
    /// The owner of all entries; None: the archive's owners.
    pub owner: Option<(u32, u32)>,
    /// The archive's ids are those of a container in its user namespace.
    pub maps: Option<IdMaps>,
}

/// Extracts the archive in `stream` (plain, gzip, zstd, bzip2 or xz, detected by its first bytes) below the directory `into` of the tree at
/// `root`.
///
/// Fails with `NotFound` if the directory does not exist, and with `InvalidArgument` if it is no directory, the archive is invalid, or a
/// member reaches outside. The entries that were extracted until then stay.
pub fn extract(root: BorrowedFd, into: &[u8], stream: impl Read + Send, options: Extract, cancel: &Cancel) -> Result<()> {
    let root = at::open_in_root(root, b"", libc::O_PATH | libc::O_DIRECTORY).named("openat2", b"")?;
    check_target(root.as_fd(), into)?;
    let laid = match options.maps.clone() {
        // With mapped ids, the owner of new entries must be mapped.
        Some(maps) => as_owner(maps.root()?, || lay(root, into, stream, options, cancel)),
        None => lay(root, into, stream, options, cancel),
    };
    // A damaged archive is its sender's fault, and no data of the engine is lost. An entry that is not found is one that the archive names.
    laid.map_err(|mut failure| {
        if matches!(failure.code, Code::DataLoss | Code::NotFound) {
            failure.code = Code::InvalidArgument;
        }
        failure
    })
}

fn lay(root: OwnedFd, into: &[u8], stream: impl Read + Send, options: Extract, cancel: &Cancel) -> Result<()> {
    inflate(stream, cancel, |stream| {
        let mut work = Work {
            places: Places::new(root, Whiteouts::Remove, Vec::new())?,
            deferred: Deferred::of_stated(),
            into: clean(into).unwrap_or_default(),
            shown: shown(into),
            options,
            cancel,
        };
        let mut reader = Reader::new(stream).canceled_by(cancel);
        while let Some(mut member) = reader.next_member()? {
            cancel.check()?;
            work.member(&mut reader, &mut member)?;
        }
        reader.drain()?;
        let root = work.places.root();
        work.deferred.settle(root.fd.as_fd(), cancel)
    })
    .map(|_| ())
}

fn check_target(root: BorrowedFd, into: &[u8]) -> Result<()> {
    let node = at::open_in_root(root, into, libc::O_PATH).named("openat2", into)?;
    match at::stat_fd(node.as_fd()).named("stat", into)?.is_directory() {
        true => Ok(()),
        false => Err(Failure::new(Code::InvalidArgument, "extraction point is not a directory")),
    }
}

/// The components of a path; `..` removes the one before. None: the path leads above its start.
fn clean(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut components: Vec<Vec<u8>> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                components.pop()?;
            }
            name => components.push(name.to_vec()),
        }
    }
    Some(components)
}

struct Work<'a> {
    places: Places,
    deferred: Deferred,
    /// The components of the directory into which the archive is extracted.
    into: Vec<Vec<u8>>,
    shown: String,
    options: Extract,
    cancel: &'a Cancel,
}

impl Work<'_> {
    fn member<R: BufRead>(&mut self, reader: &mut Reader<R>, member: &mut Member) -> Result<()> {
        let path = self.inside(member, &member.name)?;
        let Some((name, parent)) = path.split_last() else {
            // The directory itself, which stays unchanged.
            return Ok(());
        };
        if path.len() == self.into.len() {
            return Ok(());
        }
        if let Some(owner) = self.options.owner {
            (member.uid, member.gid) = owner;
        }
        if let Some(maps) = &self.options.maps {
            let mapped = IdMaps::to_host(&maps.uids, member.uid).zip(IdMaps::to_host(&maps.gids, member.gid));
            (member.uid, member.gid) = mapped.ok_or_else(|| about(member, "its owner has no id in the container's user namespace"))?;
        }
        let Some(place) = self.find(parent, true)? else { return Ok(()) };
        let name = at::c_string(name).named("openat", &member.name)?;
        match member.kind {
            Kind::Directory => self.directory(member, &place, &name),
            Kind::HardLink => self.hard_link(member, &place, &name),
            Kind::File => {
                self.clear(member, &place, &name)?;
                entry::file(reader, member, &place, &name, self.cancel)
            }
            _ => {
                self.clear(member, &place, &name)?;
                entry::special(member, &place, &name)
            }
        }
    }

    /// The components below the root of the archive's path `name`.
    fn inside(&self, member: &Member, name: &[u8]) -> Result<Vec<Vec<u8>>> {
        if name.len() > LONGEST_PATH {
            return Err(about(member, &format!("a path of more than {LONGEST_PATH} bytes")));
        }
        match clean(name) {
            Some(components) if components.iter().all(|name| name.len() <= LONGEST_NAME) => {
                Ok(self.into.iter().cloned().chain(components).collect())
            }
            Some(_) => Err(about(member, &format!("a name of more than {LONGEST_NAME} bytes"))),
            None => Err(about(member, &format!("\"{}\" is outside of \"{}\"", shown(name), self.shown))),
        }
    }

    fn find(&mut self, path: &[Vec<u8>], create: bool) -> Result<Option<std::rc::Rc<Place>>> {
        let path: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        self.places.find(&path, create, &mut self.deferred, |_, _| {})
    }

    fn directory(&mut self, member: &Member, place: &Place, name: &CStr) -> Result<()> {
        let existing = at::find(place.fd.as_fd(), name).named("stat", &member.name)?;
        if !existing.is_some_and(|stat| stat.is_directory()) {
            self.clear(member, place, name)?;
            at::make_directory(place.fd.as_fd(), name, 0o700).named("mkdir", &member.name)?;
        }
        // Treat it as a new one: attributes that the archive does not contain stay.
        entry::directory(member, place, name, true)?;
        self.deferred.state(&join(&place.path, name.to_bytes()), member)?;
        Ok(())
    }

    fn hard_link(&mut self, member: &Member, place: &Place, name: &CStr) -> Result<()> {
        let target = self.inside(member, &member.link)?;
        let missing = || about(member, &format!("a hard link to {}, which is not there", shown(&member.link)));
        let (last, parent) = target.split_last().ok_or_else(missing)?;
        let from = self.find(parent, false)?.ok_or_else(missing)?;
        let last = at::c_string(last).named("linkat", &member.name)?;
        if from.inode == place.inode && last.as_c_str() == name {
            return Err(about(member, "a hard link to itself"));
        }
        let stat = at::find(from.fd.as_fd(), &last).named("stat", &member.link)?.ok_or_else(missing)?;
        if stat.is_directory() {
            return Err(about(member, "a hard link to a directory"));
        }
        self.clear(member, place, name)?;
        at::hard_link(from.fd.as_fd(), &last, place.fd.as_fd(), name).named("linkat", &member.name)
    }

    /// Removes an existing entry, which the member replaces.
    fn clear(&mut self, member: &Member, place: &Place, name: &CStr) -> Result<()> {
        let directory = place.fd.as_fd();
        let Some(stat) = at::find(directory, name).named("stat", &member.name)? else {
            return Ok(());
        };
        if self.options.keep_kinds && stat.is_directory() != (member.kind == Kind::Directory) {
            let shown = format!("/{}", shown(&join(&place.path, name.to_bytes())));
            let text = match stat.is_directory() {
                true => format!("cannot overwrite directory \"{shown}\" with non-directory \"{}\"", self.shown),
                false => format!("cannot overwrite non-directory \"{shown}\" with directory \"{}\"", self.shown),
            };
            return Err(Failure::new(Code::InvalidArgument, text));
        }
        refuse_mounts(directory, name, &member.name, self.cancel)?;
        if stat.is_directory() || stat.kind() == libc::S_IFLNK {
            self.places.forget();
        }
        remove_at(directory, name, &member.name, self.cancel)
    }
}

/// Searches for mounts: in another mount namespace the kernel allows a mount point to be removed, and unmounts it in the container.
fn refuse_mounts(directory: BorrowedFd, name: &CStr, path: &[u8], cancel: &Cancel) -> Result<()> {
    let mut descent = Descent::new(directory, b"");
    let mut ahead = vec![vec![name.to_owned()].into_iter()];
    while let Some(names) = ahead.last_mut() {
        cancel.check()?;
        let Some(name) = names.next() else {
            ahead.pop();
            descent.leave()?;
            continue;
        };
        let Some(stat) = at::find(descent.here(), &name).named("stat", path)? else {
            continue;
        };
        if at::is_mount_root(descent.here(), &name).named("statx", path)? {
            let shown = shown(path);
            let busy = Failure::os(libc::EBUSY, "unlinkat", Some(&shown));
            return Err(Failure {
                code: Code::Conflict,
                message: format!("unlinkat {shown}: device or resource busy: something is mounted there in the container"),
                ..busy
            });
        }
        if stat.is_directory() {
            descent.enter(&name, descent.open(&name).named("openat2", path)?)?;
            ahead.push(list(descent.here()).named("getdents64", path)?.into_iter());
        }
    }
    Ok(())
}

/// The file at a path, as `HEAD …/archive` reports it.
pub struct Found {
    pub stat: at::Stat,
    /// The target of a link at the path's end, with links on the way followed within the root. If the target does not exist, the path up to
    /// the first missing component is resolved.
    pub target: Option<Vec<u8>>,
}

pub fn find(root: BorrowedFd, path: &[u8]) -> Result<Found> {
    let flags = libc::O_PATH | if follows(path) { 0 } else { libc::O_NOFOLLOW };
    let node = at::open_in_root(root, path, flags).named("openat2", path)?;
    refuse_made_up(node.as_fd(), path)?;
    let stat = at::stat_fd(node.as_fd()).named("stat", path)?;
    let target = (stat.kind() == libc::S_IFLNK).then(|| follow(root, path)).transpose()?;
    Ok(Found { stat, target })
}

/// The same limit as the kernel's (path_resolution(7)).
const MOST_LINKS: usize = 40;

fn follow(root: BorrowedFd, path: &[u8]) -> Result<Vec<u8>> {
    let mut ahead: std::collections::VecDeque<Vec<u8>> = path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                done.pop();
                continue;
            }
            _ => done.push(name),
        }
        let here = done.join(b"/".as_slice());
        let target = match at::open_in_root(root, &here, libc::O_PATH | libc::O_NOFOLLOW) {
            Ok(node) => at::read_link(node.as_fd(), c"")
                .ok()
                .filter(|_| at::stat_fd(node.as_fd()).is_ok_and(|stat| stat.kind() == libc::S_IFLNK)),
            Err(_) => None,
        };
        let Some(target) = target else { continue };
        links += 1;
        if links > MOST_LINKS {
            return Err(Failure::os(libc::ELOOP, "openat2", Some(&shown(path))));
        }
        done.pop();
        if target.starts_with(b"/") {
            done.clear();
        }
        for component in target.split(|byte| *byte == b'/').rev() {
            ahead.push_front(component.to_vec());
        }
    }
    Ok([b"/".as_slice(), &done.join(b"/".as_slice())].concat())
}
