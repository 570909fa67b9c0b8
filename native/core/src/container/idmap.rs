//! Mounts whose files are shown with other ids than those on disk. Files that a container in a user namespace writes as its root belong to
//! root on disk, whatever ids its root was mapped to. Binds and whole file systems are mapped directly (Linux 5.12; ext4 and xfs can). An
//! overlay is mapped by its layers (5.19), since overlayfs itself can't be mapped.
//!
//! Sources: mount_setattr(2), idmappings.rst and overlayfs.rst of the kernel.

use crate::container::namespaces;
use crate::container::pivot;
use crate::failure::{Code, Failure, Result};
use crate::id_maps::IdMaps;
use crate::mount::{self as words, Mount, Parts};
use crate::sys::mount::{self, Attributes, Context, LONGEST_VALUE};
use crate::sys::owner::as_owner;
use crate::sys::{self, Call, at};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Like [`crate::mount::open_detached`], but mounts that have id maps are mapped.
pub fn open_detached(mounts: &[Mount]) -> Result<OwnedFd> {
    words::open_detached_by(mounts, |one| match &one.id_maps {
        Some(maps) => open_one(one, maps),
        None => words::open_one(one),
    })
}

fn open_one(one: &Mount, maps: &IdMaps) -> Result<OwnedFd> {
    let parts = Parts::of(one);
    if parts.bind {
        bind(Path::new(&one.source), parts.recursive, parts.attributes, maps)
    } else if one.type_ == "overlay" {
        overlay(one, &parts.data, parts.attributes, maps)
    } else {
        let tree = words::open_one(one)?;
        let name = Path::new(if one.source.is_empty() { &one.type_ } else { &one.source });
        apply(&tree, name, false, Attributes::default(), maps)?;
        Ok(tree)
    }
}

/// Creates a user namespace with these maps, which lives as long as the descriptor.
fn namespace(maps: &IdMaps) -> Result<OwnedFd> {
    namespaces::hold(namespaces::USER, maps)?
        .pop()
        .ok_or_else(|| Failure::new(Code::Internal, "no user namespace was made"))
}

/// A detached bind of `path`, mapped.
fn bind(path: &Path, recursive: bool, attributes: Attributes, maps: &IdMaps) -> Result<OwnedFd> {
    let tree = mount::clone_tree(path, recursive)?;
    apply(&tree, path, recursive, attributes, maps)?;
    Ok(tree)
}

/// Maps a detached mount of `path`, which a failure names.
pub fn apply(tree: &OwnedFd, path: &Path, recursive: bool, attributes: Attributes, maps: &IdMaps) -> Result<()> {
    mapped(tree, path, recursive, attributes, namespace(maps)?.as_fd())
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

/// A detached overlay of mapped layers. The layers must be attached while the overlay is made, so that happens in a temporary mount
/// namespace. The caller must have one thread, and afterwards is at `/` of its own namespace again.
fn overlay(wanted: &Mount, data: &[&str], attributes: Attributes, maps: &IdMaps) -> Result<OwnedFd> {
    let data = words::forget_volatile(data)?;
    let namespace = namespace(maps)?;
    let layer = |path: &Path| {
        let tree = mount::clone_tree(path, false)?;
        mapped(&tree, path, false, Attributes::default(), namespace.as_fd())?;
        Ok(tree)
    };
    let value = |key: &str| data.iter().find_map(|option| option.strip_prefix(key)).map(PathBuf::from);
    let lowers = data.iter().filter_map(|option| option.strip_prefix("lowerdir+=")).map(Path::new);
    let lowers = lowers.map(layer).collect::<Result<Vec<OwnedFd>>>()?;
    // Upper and work must be on one mount, so their common parent directory is mounted.
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
    mount::attach(stage.as_fd(), Path::new("/"))?;
    let place = |name: &str, tree: &OwnedFd| {
        at::make_directory(stage.as_fd(), &sys::text(name)?, 0o755).call("mkdir", Some(name))?;
        mount::attach_to(
            tree.as_fd(),
            sys::open_at(stage.as_fd(), name, libc::O_PATH | libc::O_DIRECTORY)?.as_fd(),
        )
    };
    let names: Vec<String> = (0..lowers.len()).map(|at| at.to_string()).collect();
    for (name, tree) in names.iter().zip(&lowers) {
        place(name, tree)?;
    }
    // Use short relative names: an option's value has at most 255 bytes.
    rustix::process::fchdir(&stage).call("fchdir", None)?;
    let mut options: Vec<String> = Vec::new();
    if let Some((tree, upper, work)) = &writable {
        place("above", tree)?;
        options.extend([format!("upperdir=above/{upper}"), format!("workdir=above/{work}")]);
    }
    let own = |option: &&&str| !["lowerdir+=", "upperdir=", "workdir="].iter().any(|key| option.starts_with(key));
    options.extend(data.iter().filter(own).map(|option| (*option).to_owned()));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let joined = names.join(":");
    if !words::has_lowerdir_plus() && joined.len() >= LONGEST_VALUE {
        let tree = as_owner(maps.root()?, || words::mounted_by_page(&wanted.source, &joined, &options))?;
        mount::set_attributes(tree.as_fd(), attributes, false)?;
        return Ok(tree);
    }
    let context = Context::open(&wanted.type_)?;
    if !wanted.source.is_empty() {
        context.set("source", &wanted.source)?;
    }
    if words::has_lowerdir_plus() {
        names.iter().try_for_each(|name| context.set("lowerdir+", name))?;
    } else {
        context.set("lowerdir", &joined)?;
    }
    options.iter().try_for_each(|option| context.option(option))?;
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

/// A temporary mount namespace. Drop returns to the caller's own one.
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
            // A process that went on in the wrong mount namespace would use the wrong files.
            std::process::abort();
        }
    }
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
