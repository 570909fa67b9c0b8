//! The contents of every container's /dev: device nodes, which are created or, in a user namespace, bound from the host, and links.

use super::mounts::target_of;
use super::spec::Device;
use crate::failure::{Code, Failure, Result};
use crate::sys::at;
use crate::sys::mount;
use crate::sys::{self, Call};
use crate::tree::Named;
use crate::tree::root::{Root, split};
use rustix::fs::{Access, FileType, Mode, mknodat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Path, major and minor of the devices that the OCI runtime spec requires on Linux.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];
const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];
/// Made only if the kernel has this file.
const CORE: (&str, &str) = ("/dev/core", "/proc/kcore");

/// `bind`: this process may not make nodes (mknod fails with EPERM in a user namespace).
pub fn make(root: &Root, devices: &[Device], bind: bool) -> Result<()> {
    // Look up /dev once for the ten names that are always made.
    let dev = root.make_directory("/dev", 0o755)?;
    let umask = rustix::process::umask(Mode::empty());
    let made = (|| {
        for (path, major, minor) in DEFAULT {
            if bind {
                bind_node(root, path, path)?;
            } else if !devices.iter().any(|device| device.path == path) {
                let wanted = Node {
                    mode: libc::S_IFCHR | 0o666,
                    number: libc::makedev(major, minor),
                    owner: (0, 0),
                };
                // A file that a user has mounted there stays, as with runc.
                if let Err(failure) = wanted.make(root, dev.as_fd(), &path[5..], path)
                    && failure.errno != Some(libc::EEXIST)
                {
                    return Err(failure);
                }
            }
        }
        for device in devices {
            one(root, device, bind).map_err(|failure| Failure {
                message: format!("device {}: {}", device.path, failure.message),
                ..failure
            })?;
        }
        Ok(())
    })();
    rustix::process::umask(umask);
    made?;
    // The host's /proc is visible until the root is changed.
    let core = rustix::fs::access(c"/proc/kcore", Access::EXISTS).is_ok();
    for (name, to) in LINKS.into_iter().chain(core.then_some(CORE)) {
        let (name, to) = (sys::text(&name[5..])?, sys::text(to)?);
        // An existing file stays.
        let _ = at::make_link(&to, dev.as_fd(), &name);
    }
    Ok(())
}

fn one(root: &Root, device: &Device, bind: bool) -> Result<()> {
    if bind {
        return bind_node(root, device.host_path.as_deref().unwrap_or(&device.path), &device.path);
    }
    let kind = match device.type_.as_str() {
        "c" | "u" => libc::S_IFCHR,
        "b" => libc::S_IFBLK,
        "p" => libc::S_IFIFO,
        other => return Err(Failure::new(Code::InvalidArgument, format!("no such type of device: {other:?}"))),
    };
    let (parent, name) = split(&device.path)?;
    let wanted = Node {
        mode: kind | device.file_mode.unwrap_or(0o666) & 0o7777,
        number: libc::makedev(device.major as u32, device.minor as u32),
        owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)),
    };
    wanted.make(root, root.make_directory(parent, 0o755)?.as_fd(), name, &device.path)
}

struct Node {
    mode: u32,
    number: u64,
    owner: (u32, u32),
}

impl Node {
    /// `name` in `directory` is `path` in `root`.
    fn make(&self, root: &Root, directory: BorrowedFd, name: &str, path: &str) -> Result<()> {
        let text = sys::text(name)?;
        match self.make_new(directory, &text, path) {
            // An image may contain the node, or a link to its place. A node of another kind or number is not the spec's device.
            Err(failure) if failure.errno == Some(libc::EEXIST) => {
                let there = root.walk(path, 0o755, |directory, name, _| {
                    self.make_new(directory, name, path)?;
                    at::open(directory, name, libc::O_PATH, 0).named("openat", path.as_bytes())
                })?;
                let stat = at::stat_fd(there.as_fd()).named("stat", path.as_bytes())?;
                if stat.kind() != self.mode & libc::S_IFMT || stat.0.st_rdev != self.number {
                    return Err(Failure {
                        message: format!("{path} exists already and is something else; choose another path for the device"),
                        ..failure
                    });
                }
                self.give(there.as_fd(), c"", path)
            }
            made => made.and_then(|()| self.give(directory, &text, path)),
        }
    }

    fn make_new(&self, directory: BorrowedFd, name: &CStr, path: &str) -> Result<()> {
        let (kind, mode) = (FileType::from_raw_mode(self.mode), Mode::from_raw_mode(self.mode & 0o7777));
        mknodat(directory, name, kind, mode, self.number).call("mknod", Some(path))
    }

    fn give(&self, directory: BorrowedFd, name: &CStr, path: &str) -> Result<()> {
        let (uid, gid) = self.owner;
        if (uid, gid) == (0, 0) {
            return Ok(());
        }
        at::set_owner(directory, name, uid, gid).call("chown", Some(path))
    }
}

fn bind_node(root: &Root, source: &str, path: &str) -> Result<()> {
    let tree = mount::clone_tree(Path::new(source), false)?;
    mount::attach_to(tree.as_fd(), target_of(root, &tree, path)?.as_fd())
}
