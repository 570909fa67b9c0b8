use super::{Cancel, Named, join, list, shown};
use crate::failure::{Code, Result};
use crate::sys::at;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A container can nest directories to any depth. A directory below this level is moved to the top and emptied from there.
const LEVELS: usize = 64;

/// Removes the tree at `path`. A link is removed, not followed. A mount inside is an error (`Unavailable`), a missing tree is not.
pub fn remove_tree(path: &[u8], cancel: &Cancel) -> Result<()> {
    let trimmed = path.iter().rposition(|byte| *byte != b'/').map_or(path, |last| &path[..=last]);
    let cut = trimmed.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let (parent, name) = (&trimmed[..cut.max(1)], trimmed.get(cut + 1..).unwrap_or_default());
    if !trimmed.starts_with(b"/") || matches!(name, b"" | b"." | b"..") {
        return Err(crate::failure::Failure::new(
            Code::InvalidArgument,
            format!("{}: not an absolute path to remove", shown(path)),
        ));
    }
    let directory = match at::open_path(parent, libc::O_PATH | libc::O_DIRECTORY) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
        other => other.named("open", parent)?,
    };
    remove_at(directory.as_fd(), &at::c_string(name).named("open", path)?, path, cancel)
}

/// Removes all entries of a directory, which stays.
pub fn empty(directory: BorrowedFd, cancel: &Cancel) -> Result<()> {
    for name in list(directory).named("getdents64", b"")? {
        remove_at(directory, &name, name.to_bytes(), cancel)?;
    }
    Ok(())
}

/// Removes `name` with everything below it; `path` is for the error's message.
pub fn remove_at(parent: BorrowedFd, name: &CStr, path: &[u8], cancel: &Cancel) -> Result<()> {
    match at::unlink(parent, name) {
        Ok(()) => return Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT) => return Ok(()),
            Some(libc::EISDIR | libc::EPERM) => {}
            _ => return Err(error).named("unlink", path),
        },
    }
    let Some(top) = open(parent, name, path)? else { return Ok(()) };
    let mut deep = Deep {
        top: top.as_fd(),
        moved: 0,
        cancel,
    };
    // Each pass may have moved deep directories up into `top`, for the next pass.
    loop {
        deep.moved = 0;
        deep.empty(top.as_fd(), path, 0)?;
        if deep.moved == 0 {
            break;
        }
    }
    gone(at::remove_directory(parent, name)).named("rmdir", path)
}

struct Deep<'a> {
    top: BorrowedFd<'a>,
    moved: usize,
    cancel: &'a Cancel,
}

impl Deep<'_> {
    fn empty(&mut self, directory: BorrowedFd, path: &[u8], depth: usize) -> Result<()> {
        self.cancel.check()?;
        for name in list(directory).named("getdents64", path)? {
            let error = match at::unlink(directory, &name) {
                Ok(()) => continue,
                Err(error) => error,
            };
            let here = || join(path, name.to_bytes());
            match error.raw_os_error() {
                Some(libc::ENOENT) => continue,
                Some(libc::EISDIR | libc::EPERM) => {}
                _ => return Err(error).named("unlink", &here()),
            }
            if depth == LEVELS {
                self.move_up(directory, &name).named("rename", &here())?;
                continue;
            }
            let Some(child) = open(directory, &name, &here())? else { continue };
            self.empty(child.as_fd(), &here(), depth + 1)?;
            gone(at::remove_directory(directory, &name)).named("rmdir", &here())?;
        }
        Ok(())
    }

    fn move_up(&mut self, directory: BorrowedFd, name: &CStr) -> io::Result<()> {
        loop {
            let new = at::c_string(format!(".removed-{}", self.moved).as_bytes())?;
            self.moved += 1;
            // A rename over an empty directory of that name succeeds, which does no harm.
            match at::rename(directory, name, self.top, &new) {
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST | libc::ENOTDIR)) => {}
                other => return other,
            }
        }
    }
}

/// None: the directory was removed meanwhile.
fn open(directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<Option<std::os::fd::OwnedFd>> {
    match at::open_directory(directory, name) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::EXDEV) => {
            let mut failure = crate::failure::Failure::os(libc::EBUSY, "openat2", Some(&shown(path)));
            failure.message = format!("{}: something is mounted there; unmount it first", shown(path));
            Err(failure)
        }
        Err(error) => Err(error).named("openat2", path),
    }
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
