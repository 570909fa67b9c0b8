//! Extended attributes of whatever a name stands for: symbolic links and devices too, which can't be opened for it.
//! The calls that take a directory are Linux 6.13's; before, /proc/self/fd/N/name says the same and follows nothing.

use super::at::c_string;
use crate::limits::LARGEST_ATTRIBUTES;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Names with their values, in the order of the names.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The path of `name` in `directory`; an empty name is the directory itself.
fn path(directory: BorrowedFd, name: &CStr) -> CString {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(if name.is_empty() { b"." } else { name.to_bytes() });
    // SAFETY: neither part holds a NUL.
    unsafe { CString::from_vec_unchecked(path) }
}

/// All attributes; a file system without any has none. E2BIG: they are larger than the bound.
pub fn all(directory: BorrowedFd, name: &CStr) -> io::Result<Attributes> {
    let path = path(directory, name);
    let names = match grown(|buffer, length| unsafe { libc::llistxattr(path.as_ptr(), buffer.cast(), length) }) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let (mut attributes, mut size) = (Vec::new(), 0);
    for key in names.split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
        let key_c = c_string(key)?;
        match grown(|buffer, length| unsafe { libc::lgetxattr(path.as_ptr(), key_c.as_ptr(), buffer.cast(), length) }) {
            Ok(value) => {
                size += key.len() + value.len();
                if size > LARGEST_ATTRIBUTES {
                    return Err(io::Error::from_raw_os_error(libc::E2BIG));
                }
                attributes.push((key.to_vec(), value));
            }
            // Removed meanwhile, or made up by a security module that is not there.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => {}
            Err(error) => return Err(error),
        }
    }
    attributes.sort_unstable();
    Ok(attributes)
}

pub fn get(directory: BorrowedFd, name: &CStr, key: &CStr) -> io::Result<Option<Vec<u8>>> {
    let path = path(directory, name);
    match grown(|buffer, length| unsafe { libc::lgetxattr(path.as_ptr(), key.as_ptr(), buffer.cast(), length) }) {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn set(directory: BorrowedFd, name: &CStr, key: &[u8], value: &[u8]) -> io::Result<()> {
    let (path, key) = (path(directory, name), c_string(key)?);
    match unsafe { libc::lsetxattr(path.as_ptr(), key.as_ptr(), value.as_ptr().cast(), value.len(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Of an opened file, by whatever flags (O_PATH too).
pub fn set_opened(file: BorrowedFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    let (path, key) = (c_string(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?, c_string(key)?);
    match unsafe { libc::setxattr(path.as_ptr(), key.as_ptr(), value.as_ptr().cast(), value.len(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub fn remove(directory: BorrowedFd, name: &CStr, key: &[u8]) -> io::Result<()> {
    let (path, key) = (path(directory, name), c_string(key)?);
    match unsafe { libc::lremovexattr(path.as_ptr(), key.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What belongs to a mount or to this host's policy, and neither into a layer nor out of one.
pub fn is_private(key: &[u8]) -> bool {
    key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.") || key == b"security.selinux"
}

/// Asks with a small buffer, which mostly does, and with the size that the kernel names when it doesn't.
fn grown(call: impl Fn(*mut u8, usize) -> isize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0u8; 256];
    loop {
        let length = call(buffer.as_mut_ptr(), buffer.len());
        if length >= 0 {
            buffer.truncate(length as usize);
            return Ok(buffer);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) {
            return Err(error);
        }
        let needed = call(std::ptr::null_mut(), 0);
        if needed < 0 {
            return Err(io::Error::last_os_error());
        }
        buffer.resize((needed as usize).max(1), 0);
    }
}
