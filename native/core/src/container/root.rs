//! A container's root as a descriptor: every path in it is resolved by openat2 with RESOLVE_IN_ROOT, so that neither a symlink of an image nor a race
//! with one leads out (CVE-2019-16884, CVE-2021-30465).

use super::sys;
use crate::failure::{Code, Failure, Result};
use crate::mount;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// A descriptor of the root directory, O_PATH or a mount.
    pub fn new(fd: OwnedFd) -> Root {
        Root { fd }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub fn open(&self, path: &str, flags: i32) -> Result<OwnedFd> {
        mount::open_in_root(self.fd(), path, flags)
    }

    /// What a path shows, links followed within the root; none: it is not there.
    pub fn find(&self, path: &str) -> Result<Option<OwnedFd>> {
        match self.open(path, libc::O_PATH) {
            Ok(fd) => Ok(Some(fd)),
            Err(failure) if matches!(failure.errno, Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A directory, made with its parents where it is missing.
    pub fn make_directory(&self, path: &str, mode: u32) -> Result<OwnedFd> {
        match self.open(path, libc::O_PATH | libc::O_DIRECTORY) {
            Err(failure) if failure.errno == Some(libc::ENOENT) => {}
            answer => return answer,
        }
        // From the deepest part that exists on, one name at a time and each opened before the next: nothing is looked up twice.
        let mut known = String::new();
        let mut at = self.open("/", libc::O_PATH | libc::O_DIRECTORY)?;
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            known.push('/');
            known.push_str(name);
            at = match self.open(&known, libc::O_PATH | libc::O_DIRECTORY) {
                Ok(fd) => fd,
                Err(failure) if failure.errno == Some(libc::ENOENT) && name != ".." => {
                    let text = sys::text(name)?;
                    // SAFETY: `text` outlives the call.
                    let made = unsafe { libc::mkdirat(at.as_raw_fd(), text.as_ptr(), mode) };
                    if made != 0 {
                        let why = Failure::last("mkdir", Some(&known));
                        if why.errno == Some(libc::EEXIST) {
                            let what = format!("{path}: {known} is a link that leads nowhere");
                            return Err(Failure {
                                code: Code::InvalidArgument,
                                message: what,
                                ..why
                            });
                        }
                        return Err(why);
                    }
                    sys::open_at(at.as_fd(), name, libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)?
                }
                Err(failure) => return Err(failure),
            };
        }
        Ok(at)
    }

    /// A place for a file to be mounted on: what is there, or a new empty file.
    pub fn make_file(&self, path: &str) -> Result<OwnedFd> {
        if let Some(fd) = self.find(path)? {
            return Ok(fd);
        }
        let (parent, name) = split(path)?;
        let directory = self.make_directory(parent, 0o755)?;
        sys::open_at(
            directory.as_fd(),
            name,
            libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_WRONLY,
        )?;
        sys::open_at(directory.as_fd(), name, libc::O_PATH | libc::O_NOFOLLOW)
    }
}

/// A path's parent and last name.
pub fn split(path: &str) -> Result<(&str, &str)> {
    let path = path.trim_end_matches('/');
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name.is_empty() || name == "." || name == ".." {
        return Err(Failure::new(Code::InvalidArgument, format!("{path:?} names no file")));
    }
    Ok((if parent.is_empty() { "/" } else { parent }, name))
}
