//! Extended attributes of files of every kind, including symbolic links and devices, which can't be opened for it. The calls that take a
//! directory exist since Linux 6.13. The path /proc/self/fd/N/name has the same effect on older kernels, and follows no link.

use super::at::c_string;
use crate::limits::LARGEST_ATTRIBUTES;
use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Names with their values, in the order of the names.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The path of `name` in `directory`; an empty name means the directory itself.
fn path(directory: BorrowedFd, name: &CStr) -> CString {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(if name.is_empty() { b"." } else { name.to_bytes() });
    // SAFETY: neither part holds a zero byte: the one is a number, the other was a C string.
    unsafe { CString::from_vec_unchecked(path) }
}

/// A path that leads to the opened entry, and follows it no further.
fn opened(node: BorrowedFd) -> io::Result<CString> {
    c_string(format!("/proc/self/fd/{}", node.as_raw_fd()).as_bytes())
}

/// All attributes; a file system without any has none. E2BIG: they are larger than the bound.
pub fn all(directory: BorrowedFd, name: &CStr) -> io::Result<Attributes> {
    let path = path(directory, name);
    collect(
        |buffer| fs::llistxattr(&path, buffer),
        |key, buffer| fs::lgetxattr(&path, key, buffer),
    )
}

/// As [`all`], for an opened entry, with any flags (O_PATH too); it may be a symbolic link.
pub fn all_opened(node: BorrowedFd) -> io::Result<Attributes> {
    let path = opened(node)?;
    collect(
        |buffer| fs::listxattr(&path, buffer),
        |key, buffer| fs::getxattr(&path, key, buffer),
    )
}

fn collect(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&CStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Attributes> {
    let names = match grown(list) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        answer => answer?,
    };
    let (mut attributes, mut size) = (Vec::new(), 0);
    for key in names.split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
        let key_c = c_string(key)?;
        match grown(|buffer| get(&key_c, buffer)) {
            Ok(value) => {
                size += key.len() + value.len();
                if size > LARGEST_ATTRIBUTES {
                    return Err(io::Error::from_raw_os_error(libc::E2BIG));
                }
                attributes.push((key.to_vec(), value));
            }
            // Removed meanwhile, or listed by a security module that is not active.
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    attributes.sort_unstable();
    Ok(attributes)
}

pub fn get(directory: BorrowedFd, name: &CStr, key: &CStr) -> io::Result<Option<Vec<u8>>> {
    let path = path(directory, name);
    match grown(|buffer| fs::lgetxattr(&path, key, buffer)) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub fn set(directory: BorrowedFd, name: &CStr, key: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(fs::lsetxattr(path(directory, name), &c_string(key)?, value, XattrFlags::empty())?)
}

/// Sets an attribute of an open file, whatever flags it was opened with (O_PATH too).
pub fn set_opened(file: BorrowedFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    let path = opened(file)?;
    Ok(fs::setxattr(&path, &c_string(key)?, value, XattrFlags::empty())?)
}

pub fn remove(directory: BorrowedFd, name: &CStr, key: &[u8]) -> io::Result<()> {
    Ok(fs::lremovexattr(path(directory, name), &c_string(key)?)?)
}

/// Attributes that belong to a mount or to this host's policy, so they are neither written to a layer nor read from one.
pub fn is_private(key: &[u8]) -> bool {
    key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.") || key == b"security.selinux"
}

/// Calls with a small buffer, which is mostly enough, and otherwise with the largest that the kernel fills (XATTR_SIZE_MAX,
/// XATTR_LIST_MAX). It does not ask for the size: rustix returns 0 for an empty buffer, and the size may change between two calls.
fn grown(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0u8; 256];
    let length = match call(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer.resize(64 << 10, 0);
            call(&mut buffer)?
        }
        answer => answer?,
    };
    buffer.truncate(length);
    buffer.shrink_to_fit();
    Ok(buffer)
}
