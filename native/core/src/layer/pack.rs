//! Writes a part of a tree as a tar for a client: for `cp` out of a container, and `export`.

use super::emit::{Emitter, Purpose};
use crate::failure::{Code, Failure, Result};
use crate::id_maps::IdMaps;
use crate::sys::at;
use crate::tree::{Cancel, Descent, Named, shown, sorted};
use std::ffi::CStr;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// File systems whose files the kernel generates. A walk skips them (statfs(2)).
const MADE_UP: [u64; 14] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x1cd1,      // devpts
    0x1980_0202, // mqueue
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x6265_6570, // configfs
    0xcafe_4a11, // bpf
    0x6c6f_6f70, // binderfs
    0x6165_676c, // pstore
    0xf97c_ff8c, // selinuxfs
];

#[derive(Clone, Copy, Default)]
pub struct Pack<'a> {
    pub across: bool,
    pub maps: Option<&'a IdMaps>,
}

/// Writes the file or directory at `path` below `root` under the name `name`; without a name, the entries of that directory under their own
/// names. Links on the way are followed within the root; a link at the end only if the path ends with `/` or `/.`. `across`: also writes
/// the contents of mounts; otherwise an empty directory or file is written for a mount. `maps`: owners are mapped to the container's ids.
pub fn pack(
    root: BorrowedFd,
    path: &[u8],
    name: Option<&[u8]>,
    Pack { across, maps }: Pack,
    out: impl Write,
    cancel: &Cancel,
) -> Result<()> {
    let mut walk = Walk {
        emitter: Emitter::new(BufWriter::with_capacity(256 << 10, out), Purpose::Plain, cancel).mapped(maps),
        across,
    };
    let node = at::open_in_root(root, path, libc::O_PATH | if follows(path) { 0 } else { libc::O_NOFOLLOW }).named("openat2", path)?;
    let made_up = refuse_made_up(node.as_fd(), path)?;
    let stat = at::stat_fd(node.as_fd()).named("stat", path)?;
    if stat.is_directory() {
        // The directory that was checked: no process can replace it.
        let directory = at::enter_directory(node.as_fd(), c".").named("openat2", path)?;
        if let Some(name) = name {
            walk.emitter.entry(directory.as_fd(), c".", name, &stat)?;
        }
        if !made_up {
            walk.all(directory.as_fd(), name, cancel)?;
        }
    } else {
        let name = name.or_else(|| path.rsplit(|byte| *byte == b'/').next());
        walk.emitter.node(node.as_fd(), name.unwrap_or(path), false)?;
    }
    walk.emitter.finish()
}

/// Whether a link at a path's end is followed.
pub fn follows(path: &[u8]) -> bool {
    path.is_empty() || path.ends_with(b"/") || path.ends_with(b"/.")
}

/// Whether the node is the root of a generated file system, which counts as an empty directory. A file inside one is `NotFound`.
pub fn refuse_made_up(node: BorrowedFd, path: &[u8]) -> Result<bool> {
    if !is_made_up(node, path)? {
        return Ok(false);
    }
    if at::is_mount_root(node, c"").named("statx", path)? {
        return Ok(true);
    }
    let text = format!(
        "{}: the kernel makes it up, there is no file to copy; read it with exec",
        shown(path)
    );
    Err(Failure::new(Code::NotFound, text))
}

fn is_made_up(node: BorrowedFd, path: &[u8]) -> Result<bool> {
    Ok(MADE_UP.contains(&at::file_system(node).named("statfs", path)?))
}

struct Walk<'a, W: Write> {
    emitter: Emitter<'a, BufWriter<W>>,
    across: bool,
}

impl<W: Write> Walk<'_, W> {
    /// `called`: the directory's name in the archive; None: it has no name.
    fn all(&mut self, root: BorrowedFd, called: Option<&[u8]>, cancel: &Cancel) -> Result<()> {
        let mut descent = Descent::new(root, b"").across(true);
        let mut ahead = vec![sorted(root).named("getdents64", b"")?.into_iter()];
        while let Some(names) = ahead.last_mut() {
            cancel.check()?;
            let Some(name) = names.next() else {
                ahead.pop();
                descent.leave()?;
                continue;
            };
            let below = descent.join(&name);
            let path = match called {
                None => below,
                // A root that is in the archive itself has an empty name: its members begin with a slash.
                Some(called) => [called, b"/", &below].concat(),
            };
            if let Some(child) = self.entry(descent.here(), &name, &path)? {
                descent.enter(&name, child)?;
                ahead.push(sorted(descent.here()).named("getdents64", &path)?.into_iter());
            }
        }
        Ok(())
    }

    /// Writes one entry. Some: a directory to enter.
    fn entry(&mut self, directory: BorrowedFd, name: &CStr, path: &[u8]) -> Result<Option<OwnedFd>> {
        // An entry that was removed meanwhile is skipped.
        let Some(stat) = at::find(directory, name).named("stat", path)? else {
            return Ok(None);
        };
        let is_mount = match at::is_mount_root(directory, name) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            other => other.named("statx", path)?,
        };
        if is_mount && !self.across && !stat.is_directory() {
            self.emitter.empty_file(path)?;
            return Ok(None);
        }
        if !self.emitter.entry(directory, name, path, &stat)? || !stat.is_directory() || is_mount && !self.across {
            return Ok(None);
        }
        let child = match at::enter_directory(directory, name) {
            // The entry was removed or replaced meanwhile.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => return Ok(None),
            other => other.named("openat2", path)?,
        };
        if is_mount && is_made_up(child.as_fd(), path)? {
            return Ok(None);
        }
        Ok(Some(child))
    }
}
