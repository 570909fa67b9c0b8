//! Size limits of directories: project quotas of ext4 and XFS (mount option `prjquota`). New entries of a directory inherit its project,
//! and the kernel counts a project's blocks wherever they are. No registry of project ids exists, so an id is chosen that the file system
//! does not use yet.

use crate::failure::{Code, Failure, Result};
use crate::sys::at;
use crate::tree::Usage;
use std::ffi::CStr;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Limits the total size of new directories in bytes; further writes fail with EDQUOT or ENOSPC. The directories are empty, and on one file
/// system. Fails with `Unsupported` if the file system has no project quotas.
pub fn limit(directories: &[BorrowedFd], bytes: u64) -> Result<()> {
    let Some(first) = directories.first() else { return Ok(()) };
    let project = unused_project(*first)?;
    for directory in directories {
        let mut attributes = Attributes::of(*directory)?;
        attributes.project = project;
        attributes.flags |= PROJECT_INHERIT;
        attributes.set(*directory)?;
    }
    set_limit(*first, project, bytes)
}

/// Removes the limit of a directory. A directory without a limit stays unchanged.
pub fn unlimit(directory: BorrowedFd) -> Result<()> {
    match Attributes::of(directory) {
        Ok(Attributes { project: 0, .. }) => Ok(()),
        Ok(attributes) => set_limit(directory, attributes.project, 0),
        Err(failure) if failure.code == Code::Unsupported => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Limits the growth of a tree whose files are all of its root's project: another `bytes`, beside what the project has now. Returns the
/// bytes that the project may have in all.
pub fn limit_growth(root: BorrowedFd, bytes: u64) -> Result<u64> {
    let (project, quota) = project_of(root)?;
    let most = quota.bytes.saturating_add(bytes);
    set_limit(root, project, most)?;
    Ok(most)
}

/// The space of a tree whose files are all of its root's project, without a walk.
pub fn project_usage(root: BorrowedFd) -> Result<Usage> {
    let (_, quota) = project_of(root)?;
    Ok(Usage {
        bytes: quota.bytes,
        inodes: quota.inodes,
    })
}

fn project_of(root: BorrowedFd) -> Result<(u32, Quota)> {
    let Attributes { project, .. } = Attributes::of(root)?;
    if project == 0 {
        let what = "the tree has no project: it never had a limit";
        return Err(Failure::new(Code::Unsupported, what));
    }
    let mut quota = Quota::default();
    match quotactl(root, GET, project, &mut quota) {
        // Nothing of this project was written yet.
        Err(failure) if failure.errno == Some(libc::ENOENT) => {}
        other => other?,
    }
    Ok((project, quota))
}

/// Whether limits work on a directory's file system. Tries it in that directory.
pub fn works(directory: BorrowedFd) -> Result<bool> {
    const NAME: &CStr = c".tsbox-quota-probe";
    let failed = |error: io::Error| Failure::io(&error, "probe", None);
    let _ = at::remove_directory(directory, NAME);
    at::make_directory(directory, NAME, 0o700).map_err(failed)?;
    let tried = at::open_directory(directory, NAME).map_err(failed).and_then(|probe| {
        if limit(&[probe.as_fd()], PROBE_LIMIT).is_err() {
            return Ok(false);
        }
        let refused = is_refused(probe.as_fd());
        unlimit(probe.as_fd())?;
        refused.map_err(failed)
    });
    at::remove_directory(directory, NAME).map_err(failed)?;
    tried
}

/// XFS makes a file only if it could allocate a hundred kilobytes for it.
const PROBE_LIMIT: u64 = 1 << 20;

fn is_refused(directory: BorrowedFd) -> io::Result<bool> {
    let name = c"file";
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_EXCL;
    let mut file = std::fs::File::from(at::open(directory, name, flags, 0o600)?);
    let written = as_container(|| file.write_all(&vec![1; 2 * PROBE_LIMIT as usize]));
    drop(file);
    at::unlink(directory, name)?;
    Ok(written.is_err_and(|error| matches!(error.raw_os_error(), Some(libc::EDQUOT | libc::ENOSPC))))
}

/// Runs `work` without CAP_SYS_RESOURCE, with which ext4 ignores limits. Overlayfs also writes without it, whatever process has mounted it.
fn as_container<T>(work: impl FnOnce() -> T) -> T {
    const VERSION_3: u32 = 0x2008_0522;
    const SYS_RESOURCE: u32 = 1 << 24;
    // Version and pid 0, this thread; then effective, permitted and inheritable of the lower 32 and the upper 32 capabilities.
    let header = [VERSION_3, 0];
    let mut sets = [0u32; 6];
    // SAFETY: capget fills two records of the kernel's layout.
    unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    // SAFETY: capset reads two records of the kernel's layout. The change is this thread's alone.
    let set = |sets: [u32; 6]| unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    let mut lowered = sets;
    lowered[0] &= !SYS_RESOURCE;
    set(lowered);
    let done = work();
    set(sets);
    done
}

/// Derives the id from the directory's inode, outside of the range that people use; the next id if the file system uses it already.
fn unused_project(directory: BorrowedFd) -> Result<u32> {
    const OURS: u32 = 1 << 31;
    let inode = at::stat_fd(directory).map_err(|error| Failure::io(&error, "stat", None))?.0.st_ino;
    let first = (inode ^ (inode >> 31)) as u32;
    for more in 0..1024 {
        let project = OURS | first.wrapping_add(more) & !OURS;
        // The last id means all files without a project.
        if project != u32::MAX && is_unused(directory, project)? {
            return Ok(project);
        }
    }
    Err(Failure::new(
        Code::ResourceExhausted,
        "no project of the file system's quotas is free",
    ))
}

/// Q_GETQUOTA
const GET: u32 = 0x80_0007;

fn is_unused(directory: BorrowedFd, project: u32) -> Result<bool> {
    let mut quota = Quota::default();
    match quotactl(directory, GET, project, &mut quota) {
        Ok(()) => Ok(quota.hard_blocks == 0 && quota.bytes == 0 && quota.inodes == 0),
        Err(failure) if failure.errno == Some(libc::ENOENT) => Ok(true),
        Err(failure) => Err(failure),
    }
}

/// Sets a limit; 0: no limit.
fn set_limit(directory: BorrowedFd, project: u32, bytes: u64) -> Result<()> {
    const SET: u32 = 0x80_0008;
    const BLOCK_LIMITS: u32 = 1;
    let blocks = bytes.div_ceil(1024);
    let mut quota = Quota {
        hard_blocks: blocks,
        soft_blocks: blocks,
        valid: BLOCK_LIMITS,
        ..Quota::default()
    };
    quotactl(directory, SET, project, &mut quota)
}

/// struct if_dqblk, linux/quota.h. Blocks are 1024 bytes.
#[repr(C)]
#[derive(Default)]
struct Quota {
    hard_blocks: u64,
    soft_blocks: u64,
    bytes: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

/// quotactl_fd(2), Linux 5.14.
fn quotactl(directory: BorrowedFd, command: u32, project: u32, quota: &mut Quota) -> Result<()> {
    const PROJECT_QUOTA: u32 = 2;
    const NUMBER: libc::c_long = 443;
    let command = command << 8 | PROJECT_QUOTA;
    // SAFETY: a record of the kernel's layout, which outlives the call.
    let done = unsafe { libc::syscall(NUMBER, directory.as_raw_fd(), command, project, quota as *mut Quota) };
    if done == 0 {
        return Ok(());
    }
    let failure = Failure::last("quotactl_fd", None);
    Err(match failure.errno {
        Some(libc::ESRCH | libc::ENOSYS | libc::EINVAL | libc::ENOTBLK | libc::EOPNOTSUPP | libc::ENOTTY) => unsupported(failure),
        _ => failure,
    })
}

/// struct fsxattr, linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}
const PROJECT_INHERIT: u32 = 0x200;

impl Attributes {
    fn of(directory: BorrowedFd) -> Result<Attributes> {
        const GET: u32 = 0x801c_581f;
        let mut attributes = Attributes::default();
        // SAFETY: a record of the kernel's layout.
        answer(unsafe { libc::ioctl(directory.as_raw_fd(), GET as _, &raw mut attributes) })?;
        Ok(attributes)
    }

    fn set(&self, directory: BorrowedFd) -> Result<()> {
        const SET: u32 = 0x401c_5820;
        // SAFETY: the kernel reads a record of its layout.
        answer(unsafe { libc::ioctl(directory.as_raw_fd(), SET as _, self as *const Attributes) })
    }
}

fn answer(done: i32) -> Result<()> {
    if done == 0 {
        return Ok(());
    }
    let failure = Failure::last("ioctl(fsxattr)", None);
    Err(match failure.errno {
        Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::EINVAL) => unsupported(failure),
        _ => failure,
    })
}

fn unsupported(failure: Failure) -> Failure {
    Failure {
        code: Code::Unsupported,
        message: format!("this file system has no project quotas ({})", failure.message),
        ..failure
    }
}
