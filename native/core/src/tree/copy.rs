use super::{Cancel, Descent, Named, list};
use crate::failure::Result;
use crate::sys::{at, xattr};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Copies all of the tree `from` into the empty directory `to`: contents with their holes, hard links, devices, extended attributes,
/// owners, modes and times, including those of the root. Blocks are shared if the file system supports it (FICLONE). Mount points are
/// copied as empty directories. `exclude` contains paths below the root (without slash at start or end) that are omitted with everything
/// below them.
pub fn copy_tree(from: BorrowedFd, to: BorrowedFd, exclude: &HashSet<Vec<u8>>, cancel: &Cancel) -> Result<()> {
    let mut copier = Copier {
        reflinks: true,
        links: HashMap::new(),
        exclude,
        to_root: to,
        cancel,
    };
    let stat = at::stat_fd(from).named("stat", b"")?;
    copier.all(from, to)?;
    finish_directory(from, to, &stat, b"")
}

/// Gives the directory `to` the owner, mode, time and extended attributes of the directory `from`, without an overlay's own.
pub fn copy_directory_attributes(from: BorrowedFd, to: BorrowedFd) -> Result<()> {
    let stat = at::stat_fd(from).named("stat", b"")?;
    let public = |directory| -> Result<HashMap<Vec<u8>, Vec<u8>>> {
        let all = xattr::all(directory, c"").named("listxattr", b"")?;
        Ok(all
            .into_iter()
            .filter(|(key, _)| !xattr::is_private(key) && key != b"security.selinux")
            .collect())
    };
    let (wanted, present) = (public(from)?, public(to)?);
    at::set_owner_fd(to, stat.0.st_uid, stat.0.st_gid).named("chown", b"")?;
    for key in present.keys().filter(|key| !wanted.contains_key(*key)) {
        xattr::remove(to, c"", key).named("removexattr", b"")?;
    }
    for (key, value) in wanted.iter().filter(|(key, value)| present.get(*key) != Some(value)) {
        xattr::set(to, c"", key, value).named("setxattr", b"")?;
    }
    at::set_permissions_fd(to, stat.permissions()).named("chmod", b"")?;
    at::set_times_fd(to, stat.mtime()).named("utimensat", b"")
}

/// Copies the entry `name` (no directory) from one directory to another, without its other hard links.
pub fn copy_entry(from: BorrowedFd, to: BorrowedFd, name: &CStr, path: &[u8]) -> Result<()> {
    let stat = at::stat(from, name).named("stat", path)?;
    copy_one(from, to, name, &stat, path, &mut true, &Cancel::default())
}

struct Copier<'a> {
    /// False once the file systems have refused a reflink.
    reflinks: bool,
    /// The path in the copy of the first name of a file with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    exclude: &'a HashSet<Vec<u8>>,
    to_root: BorrowedFd<'a>,
    cancel: &'a Cancel,
}

/// A directory that is being copied.
struct Level {
    names: std::vec::IntoIter<CString>,
    stat: at::Stat,
}

impl Copier<'_> {
    fn all(&mut self, from: BorrowedFd, to: BorrowedFd) -> Result<()> {
        let (mut from, mut to) = (Descent::new(from, b""), Descent::new(to, b""));
        let level = |from: &Descent, stat| -> Result<Level> {
            let names = list(from.here()).named("getdents64", from.path())?.into_iter();
            Ok(Level { names, stat })
        };
        let mut levels = vec![level(&from, at::stat_fd(from.here()).named("stat", b"")?)?];
        while let Some(last) = levels.last_mut() {
            self.cancel.check()?;
            let Some(name) = last.names.next() else {
                let stat = last.stat;
                levels.pop();
                // The caller handles the root.
                if !levels.is_empty() {
                    finish_directory(from.here(), to.here(), &stat, from.path())?;
                }
                from.leave()?;
                to.leave()?;
                continue;
            };
            let path = from.join(&name);
            if self.exclude.contains(&path) {
                continue;
            }
            let stat = at::stat(from.here(), &name).named("stat", &path)?;
            if stat.is_directory() {
                if self.directory(&mut from, &mut to, &name, &stat, &path)? {
                    levels.push(level(&from, stat)?);
                }
            } else if stat.0.st_nlink < 2 || !self.link(to.here(), &name, &stat, &path)? {
                copy_one(from.here(), to.here(), &name, &stat, &path, &mut self.reflinks, self.cancel)?;
            }
        }
        Ok(())
    }

    /// Makes a directory and enters it in both trees. False: it is a mount point, and the copy stays empty.
    fn directory(&self, from: &mut Descent, to: &mut Descent, name: &CStr, stat: &at::Stat, path: &[u8]) -> Result<bool> {
        at::make_directory(to.here(), name, 0o700).named("mkdir", path)?;
        let target = to.open(name).named("openat2", path)?;
        match from.open(name) {
            Ok(source) => {
                from.enter(name, source)?;
                to.enter(name, target)?;
                Ok(true)
            }
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => {
                at::set_permissions_fd(target.as_fd(), stat.permissions()).named("chmod", path)?;
                Ok(false)
            }
            Err(error) => Err(error).named("openat2", path),
        }
    }

    /// Returns true if it made a link to an earlier name.
    fn link(&mut self, to: BorrowedFd, name: &CStr, stat: &at::Stat, path: &[u8]) -> Result<bool> {
        let Some(first) = self.links.get(&stat.inode()) else {
            self.links.insert(stat.inode(), path.to_vec());
            return Ok(false);
        };
        let cut = first.iter().rposition(|byte| *byte == b'/');
        let (directory, base) = cut.map_or((b"".as_slice(), first.as_slice()), |at| (&first[..at], &first[at + 1..]));
        let directory = at::open_beneath(self.to_root, directory, libc::O_PATH | libc::O_DIRECTORY).named("openat2", first)?;
        let base = CString::new(base).map_err(io::Error::from).named("link", first)?;
        at::hard_link(directory.as_fd(), &base, to, name).named("link", path)?;
        Ok(true)
    }
}

fn finish_directory(from: BorrowedFd, to: BorrowedFd, stat: &at::Stat, path: &[u8]) -> Result<()> {
    at::set_owner_fd(to, stat.0.st_uid, stat.0.st_gid).named("chown", path)?;
    copy_attributes(from, to, c"", path)?;
    at::set_permissions_fd(to, stat.permissions()).named("chmod", path)?;
    at::set_times_fd(to, stat.mtime()).named("utimensat", path)
}

fn copy_one(
    from: BorrowedFd,
    to: BorrowedFd,
    name: &CStr,
    stat: &at::Stat,
    path: &[u8],
    reflinks: &mut bool,
    cancel: &Cancel,
) -> Result<()> {
    match stat.kind() {
        libc::S_IFREG => {
            let source = at::open_file(from, name).named("openat", path)?;
            let target = at::open(to, name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, 0o600).named("openat", path)?;
            copy_data(source.as_fd(), target.as_fd(), stat.0.st_size as u64, reflinks, path, cancel)?;
        }
        libc::S_IFLNK => {
            let link = at::read_link(from, name)
                .and_then(|link| at::c_string(&link))
                .named("readlink", path)?;
            at::make_link(&link, to, name).named("symlink", path)?;
        }
        kind => at::make_node(to, name, kind, stat.0.st_rdev).named("mknod", path)?,
    }
    at::set_owner(to, name, stat.0.st_uid, stat.0.st_gid).named("chown", path)?;
    copy_attributes(from, to, name, path)?;
    if stat.kind() != libc::S_IFLNK {
        at::set_permissions(to, name, stat.permissions()).named("chmod", path)?;
    }
    at::set_times(to, name, stat.mtime()).named("utimensat", path)
}

/// Copies all attributes, including an overlay's own: a copy of an upper directory is an upper directory.
fn copy_attributes(from: BorrowedFd, to: BorrowedFd, name: &CStr, path: &[u8]) -> Result<()> {
    for (key, value) in xattr::all(from, name).named("listxattr", path)? {
        if key != b"security.selinux" {
            xattr::set(to, name, &key, &value).named("setxattr", path)?;
        }
    }
    Ok(())
}

fn copy_data(from: BorrowedFd, to: BorrowedFd, size: u64, reflinks: &mut bool, path: &[u8], cancel: &Cancel) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    if *reflinks {
        if rustix::fs::ioctl_ficlone(to, from).is_ok() {
            return Ok(());
        }
        *reflinks = false;
    }
    at::truncate(to, size).named("ftruncate", path)?;
    let mut offset = 0;
    while let Some(start) = at::seek_data(from, offset).named("lseek", path)? {
        let end = at::seek_hole(from, start).named("lseek", path)?.unwrap_or(size).min(size);
        copy_range(from, to, start, end, path, cancel)?;
        offset = end;
        if offset >= size {
            break;
        }
    }
    Ok(())
}

fn copy_range(from: BorrowedFd, to: BorrowedFd, mut offset: u64, end: u64, path: &[u8], cancel: &Cancel) -> Result<()> {
    /// Bytes between two checks of `cancel`.
    const STEP: u64 = 64 << 20;
    while offset < end {
        cancel.check()?;
        let (mut input, mut output) = (offset, offset);
        let length = (end - offset).min(STEP) as usize;
        match rustix::fs::copy_file_range(from, Some(&mut input), to, Some(&mut output), length) {
            Ok(count @ 1..) => offset += count as u64,
            // The file was truncated while it was copied.
            Ok(0) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return copy_bytes(from, to, offset, end, path, cancel);
            }
            Err(error) => return Err(io::Error::from(error)).named("copy_file_range", path),
        }
    }
    Ok(())
}

/// Copies between file systems for which the kernel's copy does not work.
fn copy_bytes(from: BorrowedFd, to: BorrowedFd, mut offset: u64, end: u64, path: &[u8], cancel: &Cancel) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let source = std::fs::File::from(from.try_clone_to_owned().named("dup", path)?);
    let target = std::fs::File::from(to.try_clone_to_owned().named("dup", path)?);
    let mut buffer = vec![0; 256 << 10];
    while offset < end {
        cancel.check()?;
        let length = buffer.len().min((end - offset) as usize);
        let count = source.read_at(&mut buffer[..length], offset).named("pread", path)?;
        if count == 0 {
            break;
        }
        target.write_all_at(&buffer[..count], offset).named("pwrite", path)?;
        offset += count as u64;
    }
    Ok(())
}
