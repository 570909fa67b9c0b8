//! The system calls that take a directory and a name, as safe functions. They do not follow a symbolic link in the last component.

use super::flags_of;
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, ResolveFlags, SeekFrom, StatxAttributes, StatxFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A file's data from stat(2).
#[derive(Clone, Copy)]
pub struct Stat(pub fs::Stat);

impl Stat {
    pub fn kind(&self) -> u32 {
        self.0.st_mode & libc::S_IFMT
    }
    pub fn is_directory(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }
    /// Permission bits, with set-id and sticky bits.
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
    /// An overlay's mark for a removed entry: the character device 0:0.
    pub fn is_whiteout(&self) -> bool {
        self.kind() == libc::S_IFCHR && self.0.st_rdev == 0
    }
}

/// Seconds since the epoch, rounded down, and the additional nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// Converts a name or path for the kernel. A name from an archive may contain a NUL, at which it would be cut.
pub fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn openat2(directory: BorrowedFd, path: &CStr, flags: i32, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    loop {
        match fs::openat2(directory, path, flags_of(flags), Mode::empty(), resolve) {
            // The kernel could not prove that `..` stayed inside while a rename took place: repeat the call.
            Err(Errno::AGAIN | Errno::INTR) => {}
            answer => return Ok(answer?),
        }
    }
}

/// Opens `path` as a process with `root` as its root directory would: links are followed, but never out of the root.
pub fn open_in_root(root: BorrowedFd, path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    openat2(root, &c_string(path)?, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Like [`open_in_root`], without following any link.
pub fn open_beneath(root: BorrowedFd, path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    openat2(
        root,
        &c_string(path)?,
        flags,
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Opens the directory `name` to list it; EXDEV if it is a mount point, even of the same file system.
pub fn open_directory(directory: BorrowedFd, name: &CStr) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(directory, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, resolve)
}

/// Like [`open_directory`], but also opens mount points.
pub fn enter_directory(directory: BorrowedFd, name: &CStr) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(directory, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, resolve)
}

pub fn open(directory: BorrowedFd, name: &CStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    Ok(fs::openat(
        directory,
        name,
        flags_of(flags | libc::O_NOFOLLOW),
        Mode::from_raw_mode(mode),
    )?)
}

/// Opens a regular file for reading. ENOENT: there is no regular file with this name. A fifo or a device that has replaced it is not
/// opened, because an open may block, or change the device.
pub fn open_file(directory: BorrowedFd, name: &CStr) -> io::Result<OwnedFd> {
    let node = open(directory, name, libc::O_PATH, 0)?;
    match stat_fd(node.as_fd())?.kind() {
        libc::S_IFREG => open_again(node.as_fd()),
        _ => Err(Errno::NOENT.into()),
    }
}

/// Opens an entry for reading that was opened with `O_PATH`.
pub fn open_again(node: BorrowedFd) -> io::Result<OwnedFd> {
    let path = c_string(format!("/proc/self/fd/{}", node.as_raw_fd()).as_bytes())?;
    Ok(fs::open(&path, flags_of(libc::O_RDONLY | libc::O_NONBLOCK), Mode::empty())?)
}

/// By a path of the host, whose links are followed.
pub fn open_path(path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    Ok(fs::open(&c_string(path)?, flags_of(flags), Mode::empty())?)
}

pub fn stat(directory: BorrowedFd, name: &CStr) -> io::Result<Stat> {
    Ok(Stat(fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// Like `stat`; None: the file does not exist.
pub fn find(directory: BorrowedFd, name: &CStr) -> io::Result<Option<Stat>> {
    match stat(directory, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether `name` is a mount point, in the mount namespace to which `directory` belongs (Linux 5.8). An empty name means the file of the
/// descriptor itself.
pub fn is_mount_root(directory: BorrowedFd, name: &CStr) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
    let found = fs::statx(directory, name, flags, StatxFlags::empty())?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The magic number of a descriptor's file system (`O_PATH` too), as in statfs(2).
pub fn file_system(fd: BorrowedFd) -> io::Result<u64> {
    Ok(fs::fstatfs(fd)?.f_type as u64)
}

/// Whether a descriptor's file system has free space for unprivileged users.
pub fn has_room(fd: BorrowedFd) -> bool {
    fs::fstatfs(fd).is_ok_and(|found| found.f_bavail > 0)
}

pub fn stat_fd(fd: BorrowedFd) -> io::Result<Stat> {
    Ok(Stat(fs::fstat(fd)?))
}

pub fn make_directory(directory: BorrowedFd, name: &CStr, mode: u32) -> io::Result<()> {
    Ok(fs::mkdirat(directory, name, Mode::from_raw_mode(mode))?)
}

/// `kind` is S_IFCHR, S_IFBLK, S_IFIFO or S_IFSOCK.
pub fn make_node(directory: BorrowedFd, name: &CStr, kind: u32, device: u64) -> io::Result<()> {
    Ok(fs::mknodat(
        directory,
        name,
        FileType::from_raw_mode(kind),
        Mode::from_raw_mode(0o600),
        device,
    )?)
}

pub fn make_link(target: &CStr, directory: BorrowedFd, name: &CStr) -> io::Result<()> {
    Ok(fs::symlinkat(target, directory, name)?)
}

/// ENOENT: there is no symbolic link with this name.
pub fn read_link(directory: BorrowedFd, name: &CStr) -> io::Result<Vec<u8>> {
    let mut target = vec![0; libc::PATH_MAX as usize];
    let length = fs::readlinkat_raw(directory, name, target.as_mut_slice()).map_err(|errno| match errno {
        Errno::INVAL => Errno::NOENT,
        other => other,
    })?;
    target.truncate(length);
    Ok(target)
}

/// Makes a hard link to `from` itself, even if it is a symbolic link.
pub fn hard_link(from: BorrowedFd, name: &CStr, to: BorrowedFd, new: &CStr) -> io::Result<()> {
    Ok(fs::linkat(from, name, to, new, AtFlags::empty())?)
}

pub fn rename(from: BorrowedFd, name: &CStr, to: BorrowedFd, new: &CStr) -> io::Result<()> {
    Ok(fs::renameat(from, name, to, new)?)
}

pub fn unlink(directory: BorrowedFd, name: &CStr) -> io::Result<()> {
    Ok(fs::unlinkat(directory, name, AtFlags::empty())?)
}

pub fn remove_directory(directory: BorrowedFd, name: &CStr) -> io::Result<()> {
    Ok(fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?)
}

/// Sets the owner. An id of u32::MAX keeps the file's own, as in chown(2). An empty name means the file of the descriptor (O_PATH too).
pub fn set_owner(directory: BorrowedFd, name: &CStr, uid: u32, gid: u32) -> io::Result<()> {
    Ok(fs::chownat(
        directory,
        name,
        owner(uid),
        group(gid),
        AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH,
    )?)
}

/// Like [`set_owner`].
pub fn set_owner_fd(fd: BorrowedFd, uid: u32, gid: u32) -> io::Result<()> {
    Ok(fs::fchown(fd, owner(uid), group(gid))?)
}

fn owner(uid: u32) -> Option<Uid> {
    (uid != u32::MAX).then(|| Uid::from_raw(uid))
}

fn group(gid: u32) -> Option<Gid> {
    (gid != u32::MAX).then(|| Gid::from_raw(gid))
}

/// Sets the mode of a node that is no symbolic link. The node is opened with O_PATH first, so that a link that replaced it is not followed.
pub fn set_permissions(directory: BorrowedFd, name: &CStr, mode: u32) -> io::Result<()> {
    set_permissions_opened(open(directory, name, libc::O_PATH, 0)?.as_fd(), mode)
}

/// Of an opened entry, with any flags (O_PATH too).
pub fn set_permissions_opened(node: BorrowedFd, mode: u32) -> io::Result<()> {
    let path = c_string(format!("/proc/self/fd/{}", node.as_raw_fd()).as_bytes())?;
    Ok(fs::chmod(&path, Mode::from_raw_mode(mode))?)
}

pub fn set_permissions_fd(fd: BorrowedFd, mode: u32) -> io::Result<()> {
    Ok(fs::fchmod(fd, Mode::from_raw_mode(mode))?)
}

/// Both times become `time`. An empty name is what the descriptor shows (O_PATH too; Linux 5.8).
pub fn set_times(directory: BorrowedFd, name: &CStr, time: Time) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    Ok(fs::utimensat(directory, name, &stamps(time), flags)?)
}

pub fn set_times_fd(fd: BorrowedFd, time: Time) -> io::Result<()> {
    Ok(fs::futimens(fd, &stamps(time))?)
}

fn stamps(time: Time) -> Timestamps {
    let both = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds as _,
    };
    Timestamps {
        last_access: both,
        last_modification: both,
    }
}

pub fn truncate(fd: BorrowedFd, size: u64) -> io::Result<()> {
    Ok(fs::ftruncate(fd, size)?)
}

/// The offset of the next data at or after `offset`; None: the end of the file.
pub fn seek_data(fd: BorrowedFd, offset: u64) -> io::Result<Option<u64>> {
    found(fs::seek(fd, SeekFrom::Data(offset)))
}

/// The offset of the next hole at or after `offset`; None: the end of the file.
pub fn seek_hole(fd: BorrowedFd, offset: u64) -> io::Result<Option<u64>> {
    found(fs::seek(fd, SeekFrom::Hole(offset)))
}

fn found(answer: rustix::io::Result<u64>) -> io::Result<Option<u64>> {
    match answer {
        Ok(offset) => Ok(Some(offset)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
