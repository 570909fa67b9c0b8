//! What every container finds in /dev: the nodes, made or, in a user namespace, bound from the host, and the links.

use super::root::{Root, split};
use super::spec::Device;
use super::sys;
use crate::failure::{Code, Failure, Result};
use crate::mount;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// Path, major and minor of the devices that the OCI runtime spec promises on Linux.
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
/// Only where the kernel was built with it.
const CORE: (&str, &str) = ("/dev/core", "/proc/kcore");

/// `bind`: this process may not make nodes (mknod in a user namespace is EPERM).
pub fn make(root: &Root, devices: &[Device], bind: bool) -> Result<()> {
    // One look-up of /dev for the ten names that are always made.
    let dev = root.make_directory("/dev", 0o755)?;
    // SAFETY: umask can't fail.
    let umask = unsafe { libc::umask(0) };
    let made = (|| {
        for (path, major, minor) in DEFAULT {
            if bind {
                bind_node(root, path, path)?;
            } else if !devices.iter().any(|device| device.path == path) {
                node(dev.as_fd(), &path[5..], libc::S_IFCHR | 0o666, libc::makedev(major, minor), None)?;
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
    // SAFETY: as above.
    unsafe { libc::umask(umask) };
    made?;
    // SAFETY: a constant string. The host's /proc is in sight until the root is changed.
    let core = unsafe { libc::access(c"/proc/kcore".as_ptr(), libc::F_OK) } == 0;
    for (name, to) in LINKS.into_iter().chain(core.then_some(CORE)) {
        let (name, to) = (sys::text(&name[5..])?, sys::text(to)?);
        // SAFETY: both strings outlive the call. What is there already stays.
        unsafe { libc::symlinkat(to.as_ptr(), dev.as_raw_fd(), name.as_ptr()) };
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
    let directory = root.make_directory(parent, 0o755)?;
    let owner = Some((device.uid.unwrap_or(0), device.gid.unwrap_or(0)));
    let mode = kind | device.file_mode.unwrap_or(0o666) & 0o7777;
    node(
        directory.as_fd(),
        name,
        mode,
        libc::makedev(device.major as u32, device.minor as u32),
        owner,
    )
}

fn node(directory: std::os::fd::BorrowedFd, name: &str, mode: u32, number: u64, owner: Option<(u32, u32)>) -> Result<()> {
    let text = sys::text(name)?;
    // SAFETY: `text` outlives the calls.
    unsafe {
        if libc::mknodat(directory.as_raw_fd(), text.as_ptr(), mode, number) != 0 {
            let failure = Failure::last("mknod", Some(name));
            // An image may bring the node; one of another kind or number under that name is no device of the spec.
            if failure.errno != Some(libc::EEXIST) {
                return Err(failure);
            }
            let there = sys::stat(sys::open_at(directory, name, libc::O_PATH | libc::O_NOFOLLOW)?.as_fd())?;
            if there.st_mode & libc::S_IFMT != mode & libc::S_IFMT || there.st_rdev != number {
                return Err(Failure {
                    message: format!("{name} is there already and is something else"),
                    ..failure
                });
            }
        }
        if let Some((uid, gid)) = owner.filter(|owner| *owner != (0, 0)) {
            sys::check(
                libc::fchownat(directory.as_raw_fd(), text.as_ptr(), uid, gid, libc::AT_SYMLINK_NOFOLLOW).into(),
                "chown",
                Some(name),
            )?;
        }
    }
    Ok(())
}

fn bind_node(root: &Root, source: &str, path: &str) -> Result<()> {
    let tree = mount::clone_tree(Path::new(source), false)?;
    mount::attach_to(tree.as_fd(), root.make_file(path)?.as_fd())
}
