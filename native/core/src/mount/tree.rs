//! Several mounts as one tree: the root, and the others below it.

use super::{Mount, open_one};
use crate::failure::{Code, Failure, Result};
use crate::sys::mount::{attach, attach_to};
use crate::sys::{self, Call, at};
use crate::tree::Named;
use crate::tree::root::Root;
use rustix::mount::MountPropagationFlags;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Opens mounts as one detached tree: the root first (the mount without target), the others below it. A failure leaves nothing behind. A
/// missing target is made. If that is impossible on a read-only file system, the mount is omitted.
///
/// Before Linux 6.15 the kernel refuses a mount on a detached tree, so a tree with further mounts is `Unsupported` there. A caller in a
/// private mount namespace then uses [`attach_all`], any other caller [`open_held`].
pub fn open_detached(mounts: &[Mount]) -> Result<OwnedFd> {
    open_detached_by(mounts, open_one)
}

/// Like [`open_detached`]; `open` opens each mount.
pub(crate) fn open_detached_by(mounts: &[Mount], open: impl Fn(&Mount) -> Result<OwnedFd>) -> Result<OwnedFd> {
    let (root, rest) = split(mounts)?;
    let tree = open(root)?;
    for mount in rest {
        attach_below(tree.as_fd(), mount, open(mount)?).map_err(|failure| match failure.errno {
            Some(libc::EINVAL) => {
                let what = format!(
                    "a mount on {} below a detached root needs Linux 6.15",
                    mount.target.as_deref().unwrap_or("/")
                );
                Failure {
                    code: Code::Unsupported,
                    message: what,
                    ..failure
                }
            }
            _ => failure,
        })?;
    }
    Ok(tree)
}

/// A tree of mounts, and the namespace that holds it.
pub struct Held {
    pub root: OwnedFd,
    /// The mount namespace that contains the tree. None: a detached tree needs no namespace.
    pub namespace: Option<OwnedFd>,
}

/// Like [`open_detached`], on every kernel. If a detached tree takes no mounts, a thread makes a mount namespace for them, in which no
/// process stays.
pub fn open_held(mounts: &[Mount]) -> Result<Held> {
    match open_detached(mounts) {
        Ok(root) => Ok(Held { root, namespace: None }),
        Err(failure) if failure.code == Code::Unsupported && failure.errno == Some(libc::EINVAL) => in_own_namespace(mounts),
        Err(failure) => Err(failure),
    }
}

/// A directory that every host has and from which no container's mount comes.
const PLACE: &str = "/sys";

fn in_own_namespace(mounts: &[Mount]) -> Result<Held> {
    let work = || {
        // SAFETY: the namespace is this thread's alone; the thread ends with this work.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.call("unshare", None)?;
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", slave).call("mount", Some("/"))?;
        Ok(Held {
            root: attach_all(mounts, Path::new(PLACE))?,
            namespace: Some(sys::open("/proc/thread-self/ns/mnt", libc::O_RDONLY)?),
        })
    };
    std::thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .map_err(|_| Failure::new(Code::Internal, "the mounting thread panicked"))?
    })
}

/// Like [`open_detached`], but attached at `path` in the caller's mount namespace.
pub fn attach_all(mounts: &[Mount], path: &Path) -> Result<OwnedFd> {
    let (root, rest) = split(mounts)?;
    let tree = open_one(root)?;
    attach(tree.as_fd(), path)?;
    for mount in rest {
        attach_below(tree.as_fd(), mount, open_one(mount)?)?;
    }
    Ok(tree)
}

/// The root, and the mounts below it in order.
fn split(mounts: &[Mount]) -> Result<(&Mount, impl Iterator<Item = &Mount>)> {
    let mut roots = mounts.iter().filter(|mount| mount.target.is_none());
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok((root, mounts.iter().filter(|mount| mount.target.is_some()))),
        (None, _) => Err(Failure::new(Code::InvalidArgument, "no mount for the root (one without target)")),
        _ => Err(Failure::new(
            Code::InvalidArgument,
            "more than one mount for the root (without target)",
        )),
    }
}

fn attach_below(root: BorrowedFd, mount: &Mount, opened: OwnedFd) -> Result<()> {
    let target = mount.target.as_deref().unwrap_or("/");
    let is_directory = at::stat_fd(opened.as_fd()).named("stat", target.as_bytes())?.is_directory();
    let place = match at::open_in_root(root, target.as_bytes(), libc::O_PATH).named("openat2", target.as_bytes()) {
        Err(failure) if failure.errno == Some(libc::ENOENT) => {
            let root = Root::new(root.try_clone_to_owned().named("dup", target.as_bytes())?);
            match if is_directory {
                root.make_directory(target, 0o755)
            } else {
                root.make_file(target)
            } {
                Err(failure) if failure.errno == Some(libc::EROFS) => return Ok(()),
                made => made?,
            }
        }
        found => found?,
    };
    attach_to(opened.as_fd(), place.as_fd()).map_err(|failure| Failure {
        path: Some(target.to_owned()),
        ..failure
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(target: Option<&str>) -> Mount {
        Mount {
            type_: "bind".into(),
            source: "/".into(),
            target: target.map(str::to_owned),
            options: Vec::new(),
            id_maps: None,
        }
    }

    #[test]
    fn a_tree_has_one_root() {
        let mounts = [at(Some("/a")), at(None), at(Some("/b"))];
        let (root, rest) = split(&mounts).unwrap();
        assert_eq!(root.target, None);
        assert_eq!(rest.map(|one| one.target.as_deref().unwrap()).collect::<Vec<_>>(), ["/a", "/b"]);
        assert!(split(&[at(Some("/a"))]).is_err());
        assert!(split(&[at(None), at(None)]).is_err());
    }
}
