use super::{Cancel, DEEPEST, Named, at, join, list, too_deep};
use crate::failure::Result;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

/// A name found: its directory, the name there, what it is, and its path for an error's text.
pub struct Found<'a> {
    pub directory: BorrowedFd<'a>,
    pub name: &'a CStr,
    pub stat: &'a at::Stat,
    pub path: &'a [u8],
}

/// Calls `each` for all below a directory, which itself is not told: a directory before what is in it. What is mounted there is left out, as is what goes meanwhile.
pub fn walk(directory: BorrowedFd, path: &[u8], cancel: &Cancel, each: &mut dyn FnMut(Found) -> Result<()>) -> Result<()> {
    below(directory, path, 0, cancel, each)
}

fn below(directory: BorrowedFd, path: &[u8], depth: usize, cancel: &Cancel, each: &mut dyn FnMut(Found) -> Result<()>) -> Result<()> {
    if depth > DEEPEST {
        return Err(too_deep(path));
    }
    cancel.check()?;
    for name in list(directory).named("getdents64", path)? {
        let here = join(path, name.to_bytes());
        let Some(stat) = at::find(directory, &name).named("stat", &here)? else {
            continue;
        };
        let found = Found {
            directory,
            name: &name,
            stat: &stat,
            path: &here,
        };
        if !stat.is_directory() {
            each(found)?;
            continue;
        }
        match at::open_directory(directory, &name) {
            Ok(child) => {
                each(found)?;
                below(child.as_fd(), &here, depth + 1, cancel, each)?;
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::ENOENT)) => {}
            Err(error) => return Err(error).named("openat2", &here),
        }
    }
    Ok(())
}
