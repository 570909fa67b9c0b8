use super::member::Member;
use crate::failure::{Code, Failure, Result};
use crate::limits::LARGEST_MEMORY;
use crate::sys::at::{self, Time};
use crate::sys::xattr;
use crate::tree::{Cancel, Named};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

/// A directory's default ACL, which new entries inherit. If it were set too early, every later member would get it.
pub const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// The attributes of directories that are set after all entries are made: times, which every new entry would change, and default ACLs.
#[derive(Default)]
pub struct Deferred {
    times: HashMap<Vec<u8>, Time>,
    acls: HashMap<Vec<u8>, Vec<u8>>,
    stated_only: bool,
    /// The number of bytes that are held in memory.
    size: usize,
}

impl Deferred {
    /// Only for directories in the archive. Other directories keep the times that new entries in them cause, as with any copy.
    pub fn of_stated() -> Self {
        Deferred {
            stated_only: true,
            ..Deferred::default()
        }
    }

    /// Records the values of the layer.
    pub fn state(&mut self, path: &[u8], member: &Member) -> Result<()> {
        self.time(path, member.mtime)?;
        match member.attributes.iter().find(|attribute| attribute.0 == DEFAULT_ACL) {
            Some((_, acl)) => {
                self.grow(path.len() + acl.len())?;
                self.acls.insert(path.to_vec(), acl.clone());
            }
            None => {
                self.acls.remove(path);
            }
        }
        Ok(())
    }

    /// Records the old time of a directory that the layer does not contain.
    pub fn keep(&mut self, path: &[u8], time: Time) -> Result<()> {
        if !self.stated_only && !self.times.contains_key(path) {
            self.time(path, time)?;
        }
        Ok(())
    }

    fn time(&mut self, path: &[u8], time: Time) -> Result<()> {
        if let Some(known) = self.times.get_mut(path) {
            *known = time;
            return Ok(());
        }
        self.grow(path.len() + size_of::<Time>())?;
        self.times.insert(path.to_vec(), time);
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<()> {
        self.size += bytes;
        match self.size > LARGEST_MEMORY {
            true => Err(Failure::new(
                Code::InvalidArgument,
                "the archive has too many directories with long paths",
            )),
            false => Ok(()),
        }
    }

    pub fn settle(self, root: BorrowedFd, cancel: &Cancel) -> Result<()> {
        for (path, time) in self.times {
            cancel.check()?;
            match at::open_beneath(root, &path, libc::O_RDONLY | libc::O_DIRECTORY) {
                Ok(directory) => {
                    if let Some(acl) = self.acls.get(&path) {
                        xattr::set(directory.as_fd(), c"", DEFAULT_ACL, acl).named("setxattr", &path)?;
                    }
                    at::set_times_fd(directory.as_fd(), time).named("utimensat", &path)?;
                }
                // A later member of the layer has replaced the directory.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {}
                Err(error) => return Err(error).named("openat2", &path),
            }
        }
        Ok(())
    }
}
