//! Finds the directory of a member.
//!
//! A path is walked one component at a time, and each is opened without following it. If a component is a symbolic link, its target
//! replaces it and the walk goes on; `..` and absolute targets end at the root. So a layer that links `lib` to `usr/lib` (or to
//! `/../../etc`) stays inside, and the returned path is the real path below the root. Some directories of the last walk stay open, since
//! members mostly come directory by directory.
//!
//! Over an overlay's upper directory, entries that the upper directory lacks are looked up in the lower ones, as the overlay would do, and
//! copied up when a member goes into them.

use super::deferred::Deferred;
use super::{Whiteouts, overlay_opaque};
use crate::failure::{Code, Failure, Result};
use crate::limits::LONGEST_PATH;
use crate::sys::{at, xattr};
use crate::tree::{Named, join, shown, too_deep};
use std::collections::VecDeque;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// The same limit as the kernel's (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// The maximum number of directories through which one component of an archive's path may lead. Each `..` in a link counts all directories
/// above it.
const MOST_STEPS: usize = 1 << 16;
/// The last `NEAR` directories of a walk stay open, and every `FAR`-th of those above them: with many lower trees each directory needs as
/// many descriptors.
const NEAR: usize = 16;
const FAR: usize = 256;

/// An open directory of the tree.
pub struct Place {
    pub fd: OwnedFd,
    /// The real path below the root; empty for the root.
    pub path: Vec<u8>,
    pub inode: (u64, u64),
    /// New entries inherit the directory's group.
    pub gives_group: bool,
    /// The directories that the overlay merges with this one, the topmost first.
    pub lowers: Vec<OwnedFd>,
}

/// The entry of a name in the lower directories.
pub enum Below<'a> {
    Nothing,
    Entry(BorrowedFd<'a>, at::Stat),
}

impl Place {
    fn open(fd: OwnedFd, path: Vec<u8>, lowers: Vec<OwnedFd>) -> Result<Self> {
        let stat = at::stat_fd(fd.as_fd()).named("stat", &path)?;
        Ok(Place {
            fd,
            path,
            inode: stat.inode(),
            gives_group: stat.permissions() & 0o2000 != 0,
            lowers,
        })
    }

    pub fn below(&self, name: &CStr) -> Result<Below<'_>> {
        for lower in &self.lowers {
            match at::find(lower.as_fd(), name).named("stat", &join(&self.path, name.to_bytes()))? {
                Some(stat) if stat.is_whiteout() => return Ok(Below::Nothing),
                Some(stat) => return Ok(Below::Entry(lower.as_fd(), stat)),
                None => {}
            }
        }
        Ok(Below::Nothing)
    }

    /// The lower directories that are merged under `name`: down to the first one that is opaque, or to an entry that is no directory.
    fn lowers_of(&self, name: &CStr) -> Result<Vec<OwnedFd>> {
        let mut lowers = Vec::new();
        for lower in &self.lowers {
            match at::open(lower.as_fd(), name, libc::O_PATH | libc::O_DIRECTORY, 0) {
                Ok(directory) => {
                    let opaque = is_opaque(directory.as_fd());
                    lowers.push(directory);
                    if opaque? {
                        break;
                    }
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(_) => break,
            }
        }
        Ok(lowers)
    }
}

fn is_opaque(directory: BorrowedFd) -> Result<bool> {
    Ok(xattr::get(directory, c"", overlay_opaque()).named("getxattr", b"")?.as_deref() == Some(b"y"))
}

enum Step {
    Directory(Place),
    Link(Vec<u8>),
}

/// A component of the last walk, under its name in the archive.
struct Walked {
    name: Vec<u8>,
    /// None: closed again.
    place: Option<Rc<Place>>,
    /// The walk entered it to make an entry.
    entered: bool,
}

pub struct Places {
    root: Rc<Place>,
    whiteouts: Whiteouts,
    /// The last walk.
    walked: Vec<Walked>,
}

impl Places {
    pub fn new(root: OwnedFd, whiteouts: Whiteouts, lowers: Vec<OwnedFd>) -> Result<Self> {
        let root = Rc::new(Place::open(root, Vec::new(), lowers)?);
        Ok(Places {
            root,
            whiteouts,
            walked: Vec::new(),
        })
    }

    pub fn root(&self) -> Rc<Place> {
        Rc::clone(&self.root)
    }

    /// Must be called when a directory was removed or became opaque: the remembered walk may contain it.
    pub fn forget(&mut self) {
        self.walked.clear();
    }

    /// Finds the directory `path` (components without `.` and `..`). With `create`, missing directories are made; otherwise the result is
    /// None. `entered` is called for every directory that is entered to make an entry.
    pub fn find(
        &mut self,
        path: &[&[u8]],
        create: bool,
        deferred: &mut Deferred,
        mut entered: impl FnMut(&Place, &[u8]),
    ) -> Result<Option<Rc<Place>>> {
        let common = self
            .walked
            .iter()
            .zip(path)
            .take_while(|(walked, name)| walked.name == **name && (walked.entered || !create))
            .count();
        // Continue from the last of them that is still open.
        let open = self.walked[..common].iter().rposition(|walked| walked.place.is_some());
        let common = open.map_or(0, |at| at + 1);
        self.walked.truncate(common);
        let mut here = self
            .walked
            .last()
            .and_then(|last| last.place.clone())
            .unwrap_or_else(|| self.root());
        for name in &path[common..] {
            let Some(place) = self.walk(here, name, create, deferred, &mut entered)? else {
                return Ok(None);
            };
            here = Rc::clone(&place);
            self.walked.push(Walked {
                name: name.to_vec(),
                place: Some(place),
                entered: create,
            });
            if let Some(near) = self.walked.len().checked_sub(NEAR + 1)
                && near % FAR != 0
            {
                self.walked[near].place = None;
            }
        }
        Ok(Some(here))
    }

    /// Walks one component of the archive's path, which links may turn into many.
    fn walk(
        &self,
        from: Rc<Place>,
        name: &[u8],
        create: bool,
        deferred: &mut Deferred,
        entered: &mut impl FnMut(&Place, &[u8]),
    ) -> Result<Option<Rc<Place>>> {
        let mut here = from;
        let mut ahead = VecDeque::from([name.to_vec()]);
        let (mut links, mut steps) = (0, 0);
        while let Some(name) = ahead.pop_front() {
            steps += 1;
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    steps += here.path.iter().filter(|byte| **byte == b'/').count();
                    here = self.above(&here, deferred)?;
                }
                _ => {}
            }
            if steps > MOST_STEPS {
                return Err(too_many_links(&here.path));
            }
            if name == b".." {
                continue;
            }
            match self.step(&here, &name, create, deferred)? {
                None => return Ok(None),
                Some(Step::Directory(place)) => {
                    if create {
                        entered(&here, &name);
                    }
                    here = Rc::new(place);
                }
                Some(Step::Link(target)) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(too_many_links(&join(&here.path, &name)));
                    }
                    if target.starts_with(b"/") {
                        here = self.root();
                    }
                    for component in target.split(|byte| *byte == b'/').rev() {
                        ahead.push_front(component.to_vec());
                    }
                }
            }
        }
        Ok(Some(here))
    }

    /// The parent of `here`, whose real path has no links.
    fn above(&self, here: &Place, deferred: &mut Deferred) -> Result<Rc<Place>> {
        let cut = here.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let mut found = self.root();
        for name in here.path[..cut].split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            found = match self.step(&found, name, false, deferred)? {
                Some(Step::Directory(place)) => Rc::new(place),
                _ => return Err(not_a_directory(&join(&found.path, name))),
            };
        }
        Ok(found)
    }

    fn step(&self, here: &Rc<Place>, name: &[u8], create: bool, deferred: &mut Deferred) -> Result<Option<Step>> {
        let path = join(&here.path, name);
        if path.len() > LONGEST_PATH {
            return Err(too_deep(&path));
        }
        let name = at::c_string(name).named("openat", &path)?;
        let open = || at::open(here.fd.as_fd(), &name, libc::O_PATH | libc::O_DIRECTORY, 0).named("openat", &path);
        let place = |fd, lowers| Place::open(fd, path.clone(), lowers).map(|place| Some(Step::Directory(place)));
        match at::find(here.fd.as_fd(), &name).named("stat", &path)? {
            Some(stat) if stat.is_directory() => {
                let fd = open()?;
                deferred.keep(&path, stat.mtime())?;
                let lowers = if here.lowers.is_empty() || is_opaque(fd.as_fd())? {
                    Vec::new()
                } else {
                    here.lowers_of(&name)?
                };
                place(fd, lowers)
            }
            Some(stat) if stat.kind() == libc::S_IFLNK => link(here.fd.as_fd(), &name, &path),
            Some(stat) if stat.is_whiteout() && self.whiteouts == Whiteouts::Overlay => {
                if !create {
                    return Ok(None);
                }
                at::unlink(here.fd.as_fd(), &name).named("unlink", &path)?;
                make(here, &name, &path)?;
                let fd = open()?;
                xattr::set(here.fd.as_fd(), &name, overlay_opaque().to_bytes(), b"y").named("setxattr", &path)?;
                place(fd, Vec::new())
            }
            Some(_) => Err(not_a_directory(&path)),
            None => match here.below(&name)? {
                Below::Nothing if !create => Ok(None),
                Below::Nothing => {
                    make(here, &name, &path)?;
                    place(open()?, Vec::new())
                }
                Below::Entry(lower, stat) if stat.kind() == libc::S_IFLNK => link(lower, &name, &path),
                Below::Entry(lower, stat) if stat.is_directory() => {
                    make(here, &name, &path)?;
                    copy_up(lower, here.fd.as_fd(), &name, &stat, &path)?;
                    deferred.keep(&path, stat.mtime())?;
                    place(open()?, here.lowers_of(&name)?)
                }
                Below::Entry(..) => Err(not_a_directory(&path)),
            },
        }
    }
}

fn link(directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<Option<Step>> {
    Ok(Some(Step::Link(at::read_link(directory, name).named("readlink", path)?)))
}

fn make(here: &Place, name: &CStr, path: &[u8]) -> Result<()> {
    at::make_directory(here.fd.as_fd(), name, 0o755).named("mkdir", path)?;
    at::set_permissions(here.fd.as_fd(), name, 0o755).named("chmod", path)
}

/// Copies a directory's own attributes; its entries stay in the lower directory.
fn copy_up(from: BorrowedFd, to: BorrowedFd, name: &CStr, stat: &at::Stat, path: &[u8]) -> Result<()> {
    at::set_owner(to, name, stat.0.st_uid, stat.0.st_gid).named("chown", path)?;
    for (key, value) in xattr::all(from, name).named("listxattr", path)? {
        if !xattr::is_private(&key) {
            xattr::set(to, name, &key, &value).named("setxattr", path)?;
        }
    }
    at::set_permissions(to, name, stat.permissions()).named("chmod", path)
}

fn too_many_links(path: &[u8]) -> Failure {
    Failure::os(libc::ELOOP, "openat", Some(&shown(path)))
}

fn not_a_directory(path: &[u8]) -> Failure {
    let path = shown(path);
    Failure {
        path: Some(path.clone()),
        ..Failure::new(
            Code::InvalidArgument,
            format!("{path} is no directory, and something is to go into it"),
        )
    }
}
