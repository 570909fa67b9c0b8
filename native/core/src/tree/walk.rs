use super::{Cancel, Descent, Named, list};
use crate::failure::Result;
use crate::sys::at;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

/// An entry: its directory, its name there, its data, and its path for an error's message.
pub struct Found<'a> {
    pub directory: BorrowedFd<'a>,
    pub name: &'a CStr,
    pub stat: &'a at::Stat,
    pub path: &'a [u8],
}

/// Calls `each` for all entries below a directory, but not for that directory itself; a directory comes before its entries. Mounts are
/// skipped, and so are entries that are removed meanwhile.
pub fn walk(directory: BorrowedFd, path: &[u8], cancel: &Cancel, each: &mut dyn FnMut(Found) -> Result<()>) -> Result<()> {
    let mut descent = Descent::new(directory, path);
    let mut ahead = vec![list(directory).named("getdents64", path)?.into_iter()];
    while let Some(names) = ahead.last_mut() {
        cancel.check()?;
        let Some(name) = names.next() else {
            ahead.pop();
            descent.leave()?;
            continue;
        };
        let here = descent.join(&name);
        let Some(stat) = at::find(descent.here(), &name).named("stat", &here)? else {
            continue;
        };
        let child = match stat.is_directory().then(|| descent.open(&name)).transpose() {
            Ok(child) => child,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => continue,
            Err(error) => return Err(error).named("openat2", &here),
        };
        each(Found {
            directory: descent.here(),
            name: &name,
            stat: &stat,
            path: &here,
        })?;
        if let Some(child) = child {
            descent.enter(&name, child)?;
            ahead.push(list(descent.here()).named("getdents64", &here)?.into_iter());
        }
    }
    Ok(())
}
