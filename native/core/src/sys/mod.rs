//! System calls as safe functions: rustix's, and our own if rustix has none. Every other layer is above this one.
//!
//! rustix makes the calls itself, without the C library's thread-local errno, and has typed arguments. Calls that it lacks use libc's
//! `syscall`, with the reason in a comment.

pub mod at;
mod attributes;
pub mod credentials;
pub mod datagrams;
pub mod descriptors;
pub mod lock;
pub mod messages;
pub mod mount;
pub mod owner;
pub mod poll;
pub mod process;
pub mod signals;
pub mod xattr;

use crate::failure::{Code, Failure, Result};
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Converts a failed system call to a [`Failure`], with the call's name and its object.
pub trait Call<T> {
    fn call(self, syscall: &str, path: Option<&str>) -> Result<T>;
}

impl<T> Call<T> for rustix::io::Result<T> {
    fn call(self, syscall: &str, path: Option<&str>) -> Result<T> {
        self.map_err(|errno| Failure::os(errno.raw_os_error(), syscall, path))
    }
}

impl<T> Call<T> for io::Result<T> {
    fn call(self, syscall: &str, path: Option<&str>) -> Result<T> {
        self.map_err(|error| Failure::io(&error, syscall, path))
    }
}

/// Repeats a call that a signal has interrupted.
pub fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            answer => return answer,
        }
    }
}

/// Converts the result of libc's `syscall`, or of one of its functions.
pub fn check(result: libc::c_long, syscall: &str, path: Option<&str>) -> Result<libc::c_long> {
    if result < 0 {
        Err(Failure::last(syscall, path))
    } else {
        Ok(result)
    }
}

/// Like [`check`], for a call that returns a new descriptor.
pub fn descriptor(result: libc::c_long, syscall: &str, path: Option<&str>) -> Result<OwnedFd> {
    let fd = check(result, syscall, path)?;
    // SAFETY: the call just made it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Converts a string for the kernel. A string from a spec may contain a NUL, at which it would be cut.
pub fn text(word: &str) -> Result<CString> {
    CString::new(word).map_err(|_| Failure::new(Code::InvalidArgument, format!("a zero byte in {word:?}")))
}

/// open(2) of a host path, close-on-exec.
pub fn open(path: &str, flags: i32) -> Result<OwnedFd> {
    rustix::fs::open(&text(path)?, flags_of(flags), Mode::empty()).call("open", Some(path))
}

/// openat(2), close-on-exec.
pub fn open_at(directory: BorrowedFd, path: &str, flags: i32) -> Result<OwnedFd> {
    rustix::fs::openat(directory, &text(path)?, flags_of(flags), Mode::from_raw_mode(0o644)).call("openat", Some(path))
}

/// Converts libc's O_* flags to rustix's, and adds O_CLOEXEC.
pub(crate) fn flags_of(flags: i32) -> OFlags {
    OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC
}

/// Writes a whole value with one write(2), as files of proc and cgroup require.
pub fn write(fd: BorrowedFd, value: &[u8], path: &str) -> Result<()> {
    match rustix::io::write(fd, value).call("write", Some(path))? {
        count if count == value.len() => Ok(()),
        _ => Err(Failure::os(libc::EIO, "write", Some(path))),
    }
}

/// Reads all of a small file of proc or cgroup.
pub fn read(fd: BorrowedFd, path: &str) -> Result<String> {
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        match rustix::io::read(fd, &mut buffer).call("read", Some(path))? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Whether this process is in a user namespace other than the host's first one, which maps all ids.
pub fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.split_whitespace().eq(["0", "0", "4294967295"]))
}

pub fn stat(fd: BorrowedFd) -> Result<rustix::fs::Stat> {
    rustix::fs::fstat(fd).call("fstat", None)
}

/// The magic number of a descriptor's file system.
#[allow(clippy::unnecessary_cast, reason = "the field's type differs between architectures")]
pub fn file_system(fd: BorrowedFd) -> Result<i64> {
    rustix::fs::fstatfs(fd).call("fstatfs", None).map(|found| found.f_type as i64)
}

pub const PROC_MAGIC: i64 = 0x9fa0;
/// The inode of the root of a /proc.
pub const PROC_ROOT: u64 = 1;
pub const DEVPTS_MAGIC: i64 = 0x1cd1;
pub const CGROUP2_MAGIC: i64 = 0x6367_7270;
pub const CGROUP_MAGIC: i64 = 0x27_e0eb;

/// prctl(2) with plain numbers. rustix has one function per option; ours keeps the option's name for the failure.
pub fn prctl(option: i32, two: u64, three: u64, what: &str) -> Result<i32> {
    // SAFETY: no option that is used here takes a pointer.
    Ok(check(unsafe { libc::prctl(option, two, three, 0, 0) }.into(), what, None)? as i32)
}
