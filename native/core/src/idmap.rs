//! Mounts whose files are shown with other ids than those on disk: what a container in a user namespace wrote as its root is root's on disk, whatever ids stood for it while
//! it ran. Binds are mapped as they are (Linux 5.12), an overlay by its layers (5.19), since overlayfs itself can't be.
//!
//! Sources: mount_setattr(2), idmappings.rst and overlayfs.rst of the kernel.

use crate::container::namespaces;
use crate::container::pivot;
use crate::container::spec::IdMapping;
use crate::container::sys;
use crate::failure::{Code, Failure, Result};
use crate::mount::{self, Attributes, Context, Mount};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `IdMaps` of kernel/src/contract/storage.ts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMaps {
    pub uids: Vec<IdMap>,
    pub gids: Vec<IdMap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMap {
    pub container_id: u32,
    pub host_id: u32,
    pub size: u32,
}

impl IdMaps {
    pub fn of(uids: &[IdMapping], gids: &[IdMapping]) -> IdMaps {
        let maps = |from: &[IdMapping]| {
            let map = |one: &IdMapping| IdMap {
                container_id: one.container_id,
                host_id: one.host_id,
                size: one.size,
            };
            from.iter().map(map).collect()
        };
        IdMaps {
            uids: maps(uids),
            gids: maps(gids),
        }
    }

    /// A new user namespace with these maps, which lives as long as the descriptor.
    pub fn namespace(&self) -> Result<OwnedFd> {
        namespaces::hold(namespaces::USER, self)?
            .pop()
            .ok_or_else(|| Failure::new(Code::Internal, "no user namespace was made"))
    }

    /// What the container's root is on the host.
    fn root(&self) -> Result<(u32, u32)> {
        let of = |maps: &[IdMap]| maps.iter().find(|map| map.container_id == 0).map(|map| map.host_id);
        of(&self.uids)
            .zip(of(&self.gids))
            .ok_or_else(|| Failure::new(Code::InvalidArgument, "the id maps say nothing of root"))
    }
}

/// A detached bind of `path`, mapped.
pub fn bind(path: &Path, recursive: bool, attributes: Attributes, maps: &IdMaps) -> Result<OwnedFd> {
    let tree = mount::clone_tree(path, recursive)?;
    apply(&tree, path, recursive, attributes, maps)?;
    Ok(tree)
}

/// Maps a detached mount; `path` is what it shows, for the failure.
pub fn apply(tree: &OwnedFd, path: &Path, recursive: bool, attributes: Attributes, maps: &IdMaps) -> Result<()> {
    mapped(tree, path, recursive, attributes, maps.namespace()?.as_fd())
}

fn mapped(tree: &OwnedFd, path: &Path, recursive: bool, attributes: Attributes, namespace: BorrowedFd) -> Result<()> {
    mount::set_attributes_idmapped(tree.as_fd(), attributes, recursive, namespace).map_err(|failure| match failure.errno {
        Some(libc::EINVAL) => Failure {
            code: Code::Unsupported,
            message: format!("the file system of {} can't map ids for a user namespace", path.display()),
            ..failure
        },
        _ => failure,
    })
}

/// A detached overlay of mapped layers. Its layers must be attached somewhere while it is made, so that is done in a mount namespace of the moment; the caller must
/// have one thread, and finds itself at `/` of its own one again.
pub fn overlay(wanted: &Mount, data: &[&str], attributes: Attributes, maps: &IdMaps) -> Result<OwnedFd> {
    let namespace = maps.namespace()?;
    let layer = |path: &Path| {
        let tree = mount::clone_tree(path, false)?;
        mapped(&tree, path, false, Attributes::default(), namespace.as_fd())?;
        Ok(tree)
    };
    let value = |key: &str| data.iter().find_map(|option| option.strip_prefix(key)).map(PathBuf::from);
    let lowers = data.iter().filter_map(|option| option.strip_prefix("lowerdir+=")).map(Path::new);
    let lowers = lowers.map(layer).collect::<Result<Vec<OwnedFd>>>()?;
    // Upper and work must be on one mount, so it is that of the directory above both.
    let writable = match (value("upperdir="), value("workdir=")) {
        (Some(upper), Some(work)) => {
            let above = common(&upper, &work)?;
            let below = |path: &Path| path.strip_prefix(&above).unwrap_or(Path::new("")).display().to_string();
            Some((layer(&above)?, below(&upper), below(&work)))
        }
        _ => None,
    };

    let _own = OwnMounts::leave()?;
    let stage = Context::open("tmpfs")?.mount(Attributes::default())?;
    pivot::stage(stage.as_fd())?;
    let context = Context::open(&wanted.type_)?;
    if !wanted.source.is_empty() {
        context.set("source", &wanted.source)?;
    }
    let place = |name: &str, tree: &OwnedFd| {
        let path = sys::text(name)?;
        // SAFETY: `path` outlives the call.
        sys::check(
            unsafe { libc::mkdirat(stage.as_raw_fd(), path.as_ptr(), 0o755) }.into(),
            "mkdir",
            Some(name),
        )?;
        mount::attach_to(
            tree.as_fd(),
            sys::open_at(stage.as_fd(), name, libc::O_PATH | libc::O_DIRECTORY)?.as_fd(),
        )
    };
    let names: Vec<String> = (0..lowers.len()).map(|at| at.to_string()).collect();
    for (name, tree) in names.iter().zip(&lowers) {
        place(name, tree)?;
    }
    // Short names from within: an option's value has 255 bytes.
    // SAFETY: a descriptor that is open.
    sys::check(unsafe { libc::fchdir(stage.as_raw_fd()) }.into(), "fchdir", None)?;
    if mount::has_lowerdir_plus() {
        names.iter().try_for_each(|name| context.set("lowerdir+", name))?;
    } else {
        context.set("lowerdir", &names.join(":"))?;
    }
    if let Some((tree, upper, work)) = &writable {
        place("above", tree)?;
        context.set("upperdir", &format!("above/{upper}"))?;
        context.set("workdir", &format!("above/{work}"))?;
    }
    let own = |option: &&&str| !["lowerdir+=", "upperdir=", "workdir="].iter().any(|key| option.starts_with(key));
    for option in data.iter().filter(own) {
        context.option(option)?;
    }
    as_owner(maps.root()?, || context.mount(attributes))
}

fn common(a: &Path, b: &Path) -> Result<PathBuf> {
    let shared: PathBuf = a
        .components()
        .zip(b.components())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a)
        .collect();
    if shared.is_absolute() {
        Ok(shared)
    } else {
        Err(Failure::new(
            Code::InvalidArgument,
            "upper and work directory must be absolute paths",
        ))
    }
}

/// A mount namespace of the moment; the caller's own one is back when this is dropped.
struct OwnMounts {
    own: OwnedFd,
}

impl OwnMounts {
    fn leave() -> Result<OwnMounts> {
        let own = OwnMounts {
            own: sys::open("/proc/self/ns/mnt", libc::O_RDONLY)?,
        };
        namespaces::unshare(namespaces::MOUNT)?;
        pivot::isolate()?;
        Ok(own)
    }
}

impl Drop for OwnMounts {
    fn drop(&mut self) {
        if namespaces::join(self.own.as_fd(), namespaces::MOUNT).is_err() {
            // Whoever goes on in the wrong mount namespace would work on the wrong files.
            std::process::abort();
        }
    }
}

/// An overlay works with the ids of who made it: they must have a meaning in its mapped upper directory, or it is read-only without a word. The capabilities stay, which a
/// change of the file system's uid takes away otherwise.
fn as_owner<T>((uid, gid): (u32, u32), work: impl FnOnce() -> Result<T>) -> Result<T> {
    const NO_SETUID_FIXUP: u64 = 4;
    let before = sys::prctl(libc::PR_GET_SECUREBITS, 0, 0, "PR_GET_SECUREBITS")?;
    sys::prctl(libc::PR_SET_SECUREBITS, before as u64 | NO_SETUID_FIXUP, 0, "PR_SET_SECUREBITS")?;
    // SAFETY: plain numbers; neither can fail.
    let ids = unsafe { (libc::setfsuid(uid), libc::setfsgid(gid)) };
    let result = work();
    // SAFETY: as above.
    unsafe {
        libc::setfsuid(ids.0 as u32);
        libc::setfsgid(ids.1 as u32);
    }
    sys::prctl(libc::PR_SET_SECUREBITS, before as u64, 0, "PR_SET_SECUREBITS")?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_and_work_are_found_below_one_directory() {
        let at = common(Path::new("/a/b/fs"), Path::new("/a/b/work")).unwrap();
        assert_eq!(at, Path::new("/a/b"));
        assert!(common(Path::new("a/b"), Path::new("a/c")).is_err());
    }
}
