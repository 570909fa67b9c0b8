use super::{Named, join, too_deep};
use crate::failure::{Code, Failure, Result};
use crate::limits::{HELD_DIRECTORIES, LONGEST_PATH};
use crate::sys::at;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The path from a tree's root down to one of its directories.
///
/// It holds at most [`HELD_DIRECTORIES`] descriptors, however deep it goes. On the way back it opens the others again from the root, and
/// checks that they are the same directories as before. It goes no deeper than the longest path.
pub struct Descent<'a> {
    root: BorrowedFd<'a>,
    /// The path of the current directory, after `base`.
    path: Vec<u8>,
    /// The number of bytes of `path` that name the root itself; they are only for messages.
    base: usize,
    levels: Vec<Level>,
    across: bool,
}

struct Level {
    /// None: closed, and opened again on the way back.
    fd: Option<OwnedFd>,
    inode: (u64, u64),
    /// The length of the parent's path.
    above: usize,
}

impl<'a> Descent<'a> {
    /// `base` names the root in messages; it may be empty.
    pub fn new(root: BorrowedFd<'a>, base: &[u8]) -> Self {
        Descent {
            root,
            path: base.to_vec(),
            base: base.len(),
            levels: Vec::new(),
            across: false,
        }
    }

    /// Whether the descent also enters mount points in the tree.
    #[cfg(feature = "layer")]
    pub fn across(mut self, across: bool) -> Self {
        self.across = across;
        self
    }

    /// The current directory.
    pub fn here(&self) -> BorrowedFd<'_> {
        self.levels
            .last()
            .and_then(|level| level.fd.as_ref())
            .map_or(self.root, AsFd::as_fd)
    }

    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path of an entry of the current directory.
    pub fn join(&self, name: &CStr) -> Vec<u8> {
        join(&self.path, name.to_bytes())
    }

    /// Opens a directory in the current one. EXDEV: it is a mount point.
    pub fn open(&self, name: &CStr) -> io::Result<OwnedFd> {
        match self.across {
            true => at::enter_directory(self.here(), name),
            false => at::open_directory(self.here(), name),
        }
    }

    /// Makes `directory`, which [`Descent::open`] found under `name`, the current one.
    pub fn enter(&mut self, name: &CStr, directory: OwnedFd) -> Result<()> {
        let path = self.join(name);
        if path.len() - self.base > LONGEST_PATH {
            return Err(too_deep(&path));
        }
        let inode = at::stat_fd(directory.as_fd()).named("stat", &path)?.inode();
        self.levels.push(Level {
            fd: Some(directory),
            inode,
            above: self.path.len(),
        });
        if let Some(far) = self.levels.len().checked_sub(HELD_DIRECTORIES + 1) {
            self.levels[far].fd = None;
        }
        self.path = path;
        Ok(())
    }

    /// Returns to the parent directory; at the root it does nothing. Fails with `Conflict` if the parent has been moved.
    pub fn leave(&mut self) -> Result<()> {
        let Some(left) = self.levels.pop() else { return Ok(()) };
        self.path.truncate(left.above);
        match self.levels.last() {
            Some(level) if level.fd.is_none() => self.reopen(),
            _ => Ok(()),
        }
    }

    /// Opens the current directory again, with as many of its parents as may be open, so that the whole path is looked up once for all of
    /// them.
    fn reopen(&mut self) -> Result<()> {
        let first = self.levels.len().saturating_sub(HELD_DIRECTORIES);
        for index in first..self.levels.len() {
            let end = self.levels.get(index + 1).map_or(self.path.len(), |level| level.above);
            let level = &self.levels[index];
            let (from, begin) = match index == first {
                true => (self.root, self.base),
                false => (self.levels[index - 1].fd.as_ref().map_or(self.root, AsFd::as_fd), level.above),
            };
            let below = &self.path[begin..end];
            let below = below.strip_prefix(b"/").unwrap_or(below);
            let opened = at::open_beneath(from, below, libc::O_RDONLY | libc::O_DIRECTORY)
                .ok()
                .filter(|fd| at::stat_fd(fd.as_fd()).is_ok_and(|stat| stat.inode() == level.inode));
            self.levels[index].fd = Some(opened.ok_or_else(|| moved(&self.path[..end]))?);
        }
        Ok(())
    }
}

fn moved(path: &[u8]) -> Failure {
    let text = format!("{}: it was moved or removed while it was read; try again", super::shown(path));
    Failure::new(Code::Conflict, text)
}
