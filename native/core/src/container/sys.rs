//! System calls that the C library has no word for, or a wrong one.

use crate::failure::{Code, Failure, Result};
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Turns a system call's answer into a result.
pub fn check(result: libc::c_long, syscall: &str, path: Option<&str>) -> Result<libc::c_long> {
    if result < 0 {
        Err(Failure::last(syscall, path))
    } else {
        Ok(result)
    }
}

/// As [`check`], for a call that answers a new descriptor.
pub fn descriptor(result: libc::c_long, syscall: &str, path: Option<&str>) -> Result<OwnedFd> {
    let fd = check(result, syscall, path)?;
    // SAFETY: the call just made it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

pub fn text(word: &str) -> Result<CString> {
    CString::new(word).map_err(|_| Failure::new(Code::InvalidArgument, format!("a zero byte in {word:?}")))
}

/// open(2) of a host path, close-on-exec.
pub fn open(path: &str, flags: i32) -> Result<OwnedFd> {
    let name = text(path)?;
    // SAFETY: `name` outlives the call.
    descriptor(
        unsafe { libc::open(name.as_ptr(), flags | libc::O_CLOEXEC) } as libc::c_long,
        "open",
        Some(path),
    )
}

/// openat(2), close-on-exec.
pub fn open_at(directory: BorrowedFd, path: &str, flags: i32) -> Result<OwnedFd> {
    let name = text(path)?;
    // SAFETY: `name` outlives the call.
    descriptor(
        unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags | libc::O_CLOEXEC, 0o644) } as libc::c_long,
        "openat",
        Some(path),
    )
}

/// One write(2) of a whole value, as files of proc and cgroup want it.
pub fn write(fd: BorrowedFd, value: &[u8], path: &str) -> Result<()> {
    // SAFETY: the buffer is that long.
    let count = unsafe { libc::write(fd.as_raw_fd(), value.as_ptr().cast(), value.len()) };
    if count == value.len() as isize {
        Ok(())
    } else {
        Err(Failure::last("write", Some(path)))
    }
}

/// All that a small file of proc or cgroup says.
pub fn read(fd: BorrowedFd, path: &str) -> Result<String> {
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        // SAFETY: the buffer is that long.
        match unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) } {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            count if count > 0 => text.extend_from_slice(&buffer[..count as usize]),
            _ => return Err(Failure::last("read", Some(path))),
        }
    }
}

pub fn stat(fd: BorrowedFd) -> Result<libc::stat> {
    // SAFETY: stat is plain numbers; the kernel fills it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(fd.as_raw_fd(), &mut stat).into(), "fstat", None)?;
        Ok(stat)
    }
}

/// The magic number of the file system that a descriptor lies on.
pub fn file_system(fd: BorrowedFd) -> Result<i64> {
    // SAFETY: statfs is plain numbers; the kernel fills it.
    unsafe {
        let mut statfs: libc::statfs = std::mem::zeroed();
        check(libc::fstatfs(fd.as_raw_fd(), &mut statfs).into(), "fstatfs", None)?;
        Ok(statfs.f_type as i64)
    }
}

pub const PROC_MAGIC: i64 = 0x9fa0;
/// The inode of a /proc's own root.
pub const PROC_ROOT: u64 = 1;
pub const DEVPTS_MAGIC: i64 = 0x1cd1;
pub const CGROUP2_MAGIC: i64 = 0x6367_7270;
pub const CGROUP_MAGIC: i64 = 0x27_e0eb;

/// prctl(2) with plain numbers.
pub fn prctl(option: i32, two: u64, three: u64, what: &str) -> Result<i32> {
    // SAFETY: no pointers.
    Ok(check(unsafe { libc::prctl(option, two, three, 0, 0) }.into(), what, None)? as i32)
}
