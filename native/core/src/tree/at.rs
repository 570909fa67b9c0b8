//! The system calls that take a directory and a name, as safe functions. None follows a symbolic link in the last component.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What a file is and when it was written, as stat(2) says.
#[derive(Clone, Copy)]
pub struct Stat(pub libc::stat);

impl Stat {
    pub fn kind(&self) -> u32 {
        self.0.st_mode & libc::S_IFMT
    }
    pub fn is_directory(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }
    /// Permission bits, with set-id and sticky.
    pub fn permissions(&self) -> u32 {
        self.0.st_mode & 0o7777
    }
    pub fn mtime(&self) -> Time {
        Time {
            seconds: self.0.st_mtime,
            nanoseconds: self.0.st_mtime_nsec as u32,
        }
    }
    pub fn inode(&self) -> (u64, u64) {
        (self.0.st_dev, self.0.st_ino)
    }
    /// An overlay's mark for "removed": the character device 0:0.
    pub fn is_whiteout(&self) -> bool {
        self.kind() == libc::S_IFCHR && self.0.st_rdev == 0
    }
}

/// Seconds since the epoch, rounded down, and the nanoseconds beyond them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// A name or path for the kernel. What comes from an archive may hold a NUL, and would be cut there.
pub fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn own(result: libc::c_int) -> io::Result<OwnedFd> {
    check(result)?;
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

fn openat2(directory: BorrowedFd, path: &CStr, flags: i32, resolve: u64) -> io::Result<OwnedFd> {
    // SAFETY: all-zero is a valid open_how; the kernel reads it within its size.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    loop {
        let result = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                directory.as_raw_fd(),
                path.as_ptr(),
                &how as *const libc::open_how,
                size_of::<libc::open_how>(),
            )
        };
        match own(result as libc::c_int) {
            // The kernel could not prove that `..` stayed inside while something was renamed: ask again.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {}
            other => return other,
        }
    }
}

/// Opens `path` as a process with `root` as its root directory would; links are followed, none of them out of it.
pub fn open_in_root(root: BorrowedFd, path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    openat2(root, &c_string(path)?, flags, libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS)
}

/// As [`open_in_root`], without following a single link.
pub fn open_beneath(root: BorrowedFd, path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    openat2(
        root,
        &c_string(path)?,
        flags,
        libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS,
    )
}

/// Opens the directory `name` to list it; EXDEV when something is mounted there, even of the same file system.
pub fn open_directory(directory: BorrowedFd, name: &CStr) -> io::Result<OwnedFd> {
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV;
    openat2(directory, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, resolve)
}

/// As [`open_directory`], into what is mounted there too.
pub fn enter_directory(directory: BorrowedFd, name: &CStr) -> io::Result<OwnedFd> {
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
    openat2(directory, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, resolve)
}

pub fn open(directory: BorrowedFd, name: &CStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    own(unsafe {
        libc::openat(
            directory.as_raw_fd(),
            name.as_ptr(),
            flags | libc::O_CLOEXEC | libc::O_NOFOLLOW,
            mode,
        )
    })
}

pub fn open_path(path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    own(unsafe { libc::open(c_string(path)?.as_ptr(), flags | libc::O_CLOEXEC) })
}

pub fn stat(directory: BorrowedFd, name: &CStr) -> io::Result<Stat> {
    // SAFETY: the kernel fills it before it is read.
    let mut stat = unsafe { std::mem::zeroed() };
    check(unsafe { libc::fstatat(directory.as_raw_fd(), name.as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW) })?;
    Ok(Stat(stat))
}

/// `stat`, where "not there" is an answer.
pub fn find(directory: BorrowedFd, name: &CStr) -> io::Result<Option<Stat>> {
    match stat(directory, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether something is mounted on `name`, in whatever namespace `directory` belongs to (Linux 5.8); an empty name is the directory, or
/// whatever it is, itself.
pub fn is_mount_root(directory: BorrowedFd, name: &CStr) -> io::Result<bool> {
    // SAFETY: the kernel fills it before it is read.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH;
    check(unsafe { libc::statx(directory.as_raw_fd(), name.as_ptr(), flags, 0, &mut stat) })?;
    Ok(stat.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0)
}

/// The magic number of the file system that a descriptor (`O_PATH` too) lies on, as in statfs(2).
pub fn file_system(fd: BorrowedFd) -> io::Result<u64> {
    // SAFETY: the kernel fills it before it is read.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    check(unsafe { libc::fstatfs(fd.as_raw_fd(), &mut stat) })?;
    Ok(stat.f_type as u64)
}

pub fn stat_fd(fd: BorrowedFd) -> io::Result<Stat> {
    // SAFETY: as in `stat`. fstatat with an empty path, since fstat refuses nothing but reads better for O_PATH.
    let mut stat = unsafe { std::mem::zeroed() };
    check(unsafe { libc::fstatat(fd.as_raw_fd(), c"".as_ptr(), &mut stat, libc::AT_EMPTY_PATH) })?;
    Ok(Stat(stat))
}

pub fn make_directory(directory: BorrowedFd, name: &CStr, mode: u32) -> io::Result<()> {
    check(unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), mode) })
}

/// `kind` is S_IFCHR, S_IFBLK, S_IFIFO or S_IFSOCK.
pub fn make_node(directory: BorrowedFd, name: &CStr, kind: u32, device: u64) -> io::Result<()> {
    check(unsafe { libc::mknodat(directory.as_raw_fd(), name.as_ptr(), kind | 0o600, device) })
}

pub fn make_link(target: &CStr, directory: BorrowedFd, name: &CStr) -> io::Result<()> {
    check(unsafe { libc::symlinkat(target.as_ptr(), directory.as_raw_fd(), name.as_ptr()) })
}

pub fn read_link(directory: BorrowedFd, name: &CStr) -> io::Result<Vec<u8>> {
    let mut target = vec![0; libc::PATH_MAX as usize];
    let length = unsafe { libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    target.truncate(length as usize);
    Ok(target)
}

/// A hard link to `from` itself, be it a symbolic link.
pub fn hard_link(from: BorrowedFd, name: &CStr, to: BorrowedFd, new: &CStr) -> io::Result<()> {
    check(unsafe { libc::linkat(from.as_raw_fd(), name.as_ptr(), to.as_raw_fd(), new.as_ptr(), 0) })
}

pub fn rename(from: BorrowedFd, name: &CStr, to: BorrowedFd, new: &CStr) -> io::Result<()> {
    check(unsafe { libc::renameat(from.as_raw_fd(), name.as_ptr(), to.as_raw_fd(), new.as_ptr()) })
}

pub fn unlink(directory: BorrowedFd, name: &CStr) -> io::Result<()> {
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), 0) })
}

pub fn remove_directory(directory: BorrowedFd, name: &CStr) -> io::Result<()> {
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) })
}

pub fn set_owner(directory: BorrowedFd, name: &CStr, uid: u32, gid: u32) -> io::Result<()> {
    check(unsafe { libc::fchownat(directory.as_raw_fd(), name.as_ptr(), uid, gid, libc::AT_SYMLINK_NOFOLLOW) })
}

pub fn set_owner_fd(fd: BorrowedFd, uid: u32, gid: u32) -> io::Result<()> {
    check(unsafe { libc::fchown(fd.as_raw_fd(), uid, gid) })
}

/// For a node that is no symbolic link: it is opened as a path first, so that one that came in its place is not followed.
pub fn set_permissions(directory: BorrowedFd, name: &CStr, mode: u32) -> io::Result<()> {
    let node = open(directory, name, libc::O_PATH, 0)?;
    let path = c_string(format!("/proc/self/fd/{}", node.as_raw_fd()).as_bytes())?;
    check(unsafe { libc::chmod(path.as_ptr(), mode) })
}

pub fn set_permissions_fd(fd: BorrowedFd, mode: u32) -> io::Result<()> {
    check(unsafe { libc::fchmod(fd.as_raw_fd(), mode) })
}

/// Both times become `time`.
pub fn set_times(directory: BorrowedFd, name: &CStr, time: Time) -> io::Result<()> {
    check(unsafe {
        libc::utimensat(
            directory.as_raw_fd(),
            name.as_ptr(),
            specs(time).as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    })
}

pub fn set_times_fd(fd: BorrowedFd, time: Time) -> io::Result<()> {
    check(unsafe { libc::futimens(fd.as_raw_fd(), specs(time).as_ptr()) })
}

fn specs(time: Time) -> [libc::timespec; 2] {
    [libc::timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds as _,
    }; 2]
}

pub fn truncate(fd: BorrowedFd, size: u64) -> io::Result<()> {
    check(unsafe { libc::ftruncate(fd.as_raw_fd(), size as libc::off_t) })
}

/// Where data (SEEK_DATA) or a hole (SEEK_HOLE) begins from `offset` on; none: the end of the file.
pub fn seek(fd: BorrowedFd, offset: u64, whence: i32) -> io::Result<Option<u64>> {
    let found = unsafe { libc::lseek(fd.as_raw_fd(), offset as libc::off_t, whence) };
    match found {
        0.. => Ok(Some(found as u64)),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
    }
}
