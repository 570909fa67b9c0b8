//! The `mounts` of an OCI spec. Each mount is opened detached, each target is found below the root by descriptor, then move_mount joins
//! them. No path of the container is passed to the kernel as a string whose meaning could change in between.

use super::cgroup::{Cgroup, Layout};
use super::namespaces;
use super::spec::OciMount;
use crate::container::idmap;
use crate::failure::{Code, Failure, Result};
use crate::id_maps::IdMaps;
use crate::mount::{Mount, open_one};
use crate::sys;
use crate::sys::Call;
use crate::sys::mount::{self, Attributes, Context};
use crate::sys::{at, xattr};
use crate::tree::Named;
use crate::tree::root::Root;
use rustix::mount::UnmountFlags;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The options of one mount, sorted by their receiver.
#[derive(Default, Debug)]
pub struct Options {
    pub bind: bool,
    pub recursive: bool,
    pub attributes: Attributes,
    /// `rro`, `rnosuid` …: apply also to the mounts below.
    pub recursive_attributes: Attributes,
    /// MS_SHARED and so on, and whether it applies also to the mounts below.
    pub propagation: Option<(u64, bool)>,
    /// `tmpcopyup`: the tmpfs begins with a copy of the image's directory.
    pub copy_up: bool,
    /// `X-mount.subdir=`, as in mount(8): mounts only that directory or file of the source, found below the source's root.
    pub subdirectory: Option<String>,
    pub data: Vec<String>,
}

impl Options {
    pub fn parse(options: &[String]) -> Options {
        let mut parsed = Options::default();
        for option in options {
            match option.as_str() {
                "bind" => parsed.bind = true,
                "rbind" => (parsed.bind, parsed.recursive) = (true, true),
                "tmpcopyup" => parsed.copy_up = true,
                // Options of mount(8) and of engines that do not concern the kernel.
                "defaults" | "async" | "nomand" | "noiversion" | "loud" | "z" | "Z" => {}
                other if other.starts_with("X-mount.subdir=") => {
                    parsed.subdirectory = other.split_once('=').map(|(_, path)| path.to_owned());
                }
                other => {
                    if let Some(propagation) = propagation(other) {
                        parsed.propagation = Some(propagation);
                    } else if !parsed.attributes.take(other)
                        && !other.strip_prefix('r').is_some_and(|rest| parsed.recursive_attributes.take(rest))
                    {
                        parsed.data.push(other.to_owned());
                    }
                }
            }
        }
        parsed
    }
}

/// The propagation that an option means, and whether it applies also to the mounts below.
pub fn propagation(word: &str) -> Option<(u64, bool)> {
    let (kind, recursive) = match word {
        "private" | "rprivate" => (libc::MS_PRIVATE, word == "rprivate"),
        "slave" | "rslave" => (libc::MS_SLAVE, word == "rslave"),
        "shared" | "rshared" => (libc::MS_SHARED, word == "rshared"),
        "unbindable" | "runbindable" => (libc::MS_UNBINDABLE, word == "runbindable"),
        _ => return None,
    };
    Some((kind, recursive))
}

/// Opens the mounts that can't be opened later, in the host's mount namespace and with the host's rights. These are:
/// - binds that must stay peers of the host's mounts (`rshared`) or receive their changes (`rslave`): in the container's own slave
///   namespace, whose root has no peer, it is too late for that;
/// - binds with mapped ids, including overlays of other images;
/// - binds of paths in another container (`/proc/PID/root/…`);
/// - all binds of a container in a user namespace (`mapped`), whose root may not walk the host's directories;
/// - file systems of block devices, which a process in the container's devices cgroup may not open.
///
/// Returns one entry per mount. `pids`: a pid namespace that is joined; its /proc can be opened only here.
pub fn open_early(mounts: &[OciMount], mapped: bool, pids: Option<BorrowedFd>) -> Result<Vec<Option<OwnedFd>>> {
    let open = |one: &OciMount| {
        let options = Options::parse(&one.options);
        if let Some(pids) = pids.filter(|_| one.type_.as_deref() == Some("proc") && !options.bind) {
            return proc_of(pids, &options).map(Some);
        }
        if !options.bind {
            let whole = whole_of(one, &options, Some(one.id_maps()).filter(|_| !one.uid_mappings.is_empty()));
            if whole.type_ == "overlay" && whole.id_maps.is_some() || whole.is_of_block_device() {
                return idmap::open_detached(&[whole]).map(Some);
            }
        }
        let Some(source) = one.source.as_deref().filter(|_| options.bind) else {
            return Ok(None);
        };
        if !one.uid_mappings.is_empty() {
            let tree = clone_source(source, &options)?;
            let maps = one.id_maps();
            idmap::apply(&tree, Path::new(source), options.recursive, Attributes::default(), &maps)?;
            return Ok(Some(tree));
        }
        if let Some((pid, path)) = in_another(source) {
            return clone_inside(pid, path).map(Some);
        }
        let kept = options
            .propagation
            .is_some_and(|(kind, _)| kind == libc::MS_SHARED || kind == libc::MS_SLAVE);
        if kept || mapped {
            clone_source(source, &options).map(Some)
        } else {
            Ok(None)
        }
    };
    mounts
        .iter()
        .map(|one| {
            open(one).map_err(|failure| Failure {
                message: format!("mount {}: {}", one.destination, failure.message),
                ..failure
            })
        })
        .collect()
}

/// A /proc of a pid namespace that is not the caller's.
fn proc_of(pids: BorrowedFd, options: &Options) -> Result<OwnedFd> {
    let context = Context::open("proc")?;
    // Since Linux 6.17.
    if context.descriptor("pidns", pids).is_ok() {
        options.data.iter().try_for_each(|option| context.option(option))?;
        return context.mount(options.attributes);
    }
    // Before Linux 6.17, a process in that namespace would have to mount it, and other processes there could see and stop that process. So
    // the /proc of an existing process there is used.
    let pid = member_of(pids)?;
    let tree = clone_inside(pid, "/proc")?;
    if sys::file_system(tree.as_fd())? != sys::PROC_MAGIC || sys::stat(tree.as_fd())?.st_ino != sys::PROC_ROOT {
        let what = "the container whose processes are to be shared has something else than its processes at /proc";
        return Err(Failure::new(Code::FailedPrecondition, what));
    }
    mount::set_attributes(tree.as_fd(), options.attributes, false)?;
    Ok(tree)
}

/// The first process of a pid namespace, by its pid on the host.
fn member_of(pids: BorrowedFd) -> Result<i32> {
    let wanted = sys::stat(pids)?.st_ino;
    let failed = |error: std::io::Error| Failure::io(&error, "readdir", Some("/proc"));
    let mut numbers: Vec<i32> = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(failed)? {
        numbers.extend(
            entry
                .map_err(failed)?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok()),
        );
    }
    numbers.sort_unstable();
    let is_member = |pid: &i32| sys::open(&format!("/proc/{pid}/ns/pid"), libc::O_RDONLY).and_then(|fd| sys::stat(fd.as_fd()));
    numbers
        .into_iter()
        .find(|pid| is_member(pid).is_ok_and(|stat| stat.st_ino == wanted))
        .ok_or_else(|| Failure::new(Code::FailedPrecondition, "the pid namespace to be joined has no process any more"))
}

/// `/proc/42/root/dev/shm` → 42 and `/dev/shm`.
fn in_another(source: &str) -> Option<(i32, &str)> {
    let (pid, path) = source.strip_prefix("/proc/")?.split_once("/root/")?;
    Some((pid.parse().ok()?, path))
}

/// Clones a mount of another mount namespace, which is possible only inside that namespace. The container's links resolve within it, too.
fn clone_inside(pid: i32, path: &str) -> Result<OwnedFd> {
    let own = sys::open("/proc/self/ns/mnt", libc::O_RDONLY)?;
    let theirs = sys::open(&format!("/proc/{pid}/ns/mnt"), libc::O_RDONLY)?;
    namespaces::join(theirs.as_fd(), namespaces::MOUNT)?;
    let cloned = sys::open("/", libc::O_PATH | libc::O_DIRECTORY)
        .and_then(|root| Root::new(root).open(path, libc::O_PATH | libc::O_NOFOLLOW))
        .and_then(|place| mount::clone_descriptor(place.as_fd(), false));
    namespaces::join(own.as_fd(), namespaces::MOUNT)?;
    cloned
}

/// The source of a bind, or the file at the given path below the source. No link leads out of it.
fn clone_source(source: &str, options: &Options) -> Result<OwnedFd> {
    let Some(inside) = &options.subdirectory else {
        return mount::clone_tree(Path::new(source), options.recursive);
    };
    let top = sys::open(source, libc::O_PATH | libc::O_DIRECTORY)?;
    mount::clone_descriptor(find_inside(top.as_fd(), inside)?.as_fd(), options.recursive)
}

fn find_inside(top: BorrowedFd, path: &str) -> Result<OwnedFd> {
    at::open_in_root(top, path.as_bytes(), libc::O_PATH)
        .named("openat2", path.as_bytes())
        .map_err(|failure| Failure {
            code: Code::InvalidArgument,
            message: format!("cannot access path {path} of the source: {}", failure.message),
            ..failure
        })
}

/// The values that all mounts of one container share.
pub struct Place<'a> {
    pub root: &'a Root,
    pub cgroup: Option<&'a Cgroup>,
    /// The container has its own cgroup namespace: a cgroup file system shows the container's directory as its root.
    pub cgroup_namespace: bool,
    /// The SELinux label of file systems that are created here.
    pub label: Option<&'a str>,
}

pub fn mount_all(place: &Place, mounts: &[OciMount], mut opened: Vec<Option<OwnedFd>>) -> Result<()> {
    let mut to_protect = Vec::new();
    for (at, one) in mounts.iter().enumerate() {
        let early = opened.get_mut(at).and_then(Option::take);
        let below = format!("{}/", one.destination);
        let holds_others = mounts[at + 1..].iter().any(|other| other.destination.starts_with(&below));
        let tree = mount_one(place, one, early, holds_others).map_err(|failure| Failure {
            message: format!("mount {}: {}", one.destination, failure.message),
            path: Some(one.destination.clone()),
            ..failure
        })?;
        to_protect.extend(tree);
    }
    for tree in to_protect {
        protect(tree.as_fd())?;
    }
    Ok(())
}

/// Makes this mount read-only, but not what is mounted on it.
fn protect(tree: BorrowedFd) -> Result<()> {
    let attributes = Attributes {
        set: mount::RDONLY,
        ..Attributes::default()
    };
    mount::set_attributes(tree, attributes, false)
}

/// Returns the tree of a mount that the caller makes read-only: later mounts need their targets made on it.
fn mount_one(place: &Place, one: &OciMount, early: Option<OwnedFd>, holds_others: bool) -> Result<Option<OwnedFd>> {
    let mut options = Options::parse(&one.options);
    let kind = one.type_.as_deref().unwrap_or("none");
    let is_late = holds_others && kind == "tmpfs" && options.attributes.set & mount::RDONLY != 0;
    if is_late {
        options.attributes.set &= !mount::RDONLY;
    }
    let (tree, target) = if options.bind || kind == "bind" {
        bind(place.root, one, &options, early)?
    } else if kind == "cgroup" || kind == "cgroup2" {
        return mount_cgroup(place, one, &options).map(|()| None);
    } else if kind == "overlay" || early.is_some() && kind != "proc" {
        whole(place.root, one, &options, early)?
    } else {
        file_system(place, kind, one, &options, early)?
    };
    join(&tree, &target, one, &options)?;
    Ok(is_late.then_some(tree))
}

fn join(tree: &OwnedFd, target: &OwnedFd, one: &OciMount, options: &Options) -> Result<()> {
    guard_proc(target.as_fd(), one)?;
    mount::attach_to(tree.as_fd(), target.as_fd())?;
    if let Some((propagation, recursive)) = options.propagation {
        mount::set_attributes(
            tree.as_fd(),
            Attributes {
                propagation,
                ..Attributes::default()
            },
            recursive,
        )?;
    }
    Ok(())
}

fn bind(root: &Root, one: &OciMount, options: &Options, early: Option<OwnedFd>) -> Result<(OwnedFd, OwnedFd)> {
    if let Some(option) = options.data.first() {
        return Err(Failure::new(Code::InvalidArgument, format!("a bind mount has no option {option}")));
    }
    let source = one.source.as_deref().filter(|source| source.starts_with('/'));
    let source = source.ok_or_else(|| Failure::new(Code::InvalidArgument, "the source of a bind mount must be an absolute path"))?;
    let tree = match early {
        Some(tree) => tree,
        None => clone_source(source, options)?,
    };
    if !options.attributes.is_empty() {
        mount::set_attributes(tree.as_fd(), options.attributes, false)?;
    }
    if !options.recursive_attributes.is_empty() {
        mount::set_attributes(tree.as_fd(), options.recursive_attributes, true)?;
    }
    let target = target_of(root, &tree, &one.destination)?;
    Ok((tree, target))
}

/// Opens the place where a tree is to be mounted, and makes it if it is missing: a directory for a directory, a file for anything else.
pub(super) fn target_of(root: &Root, tree: &OwnedFd, path: &str) -> Result<OwnedFd> {
    if is_directory(tree)? {
        return root.make_directory(path, 0o755);
    }
    let target = root.make_file(path)?;
    if is_directory(&target)? {
        let failure = Failure::os(libc::ENOTDIR, "move_mount", Some(path));
        let message = format!("{path} is a directory, and what is to be mounted there is not a directory; mount it on a file");
        return Err(Failure { message, ..failure });
    }
    Ok(target)
}

fn is_directory(fd: &OwnedFd) -> Result<bool> {
    Ok(sys::stat(fd.as_fd())?.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// Mounts another image's tree, or a block device's. Kernels differ in the options for an overlay's layers, which mount.rs handles.
fn whole(root: &Root, one: &OciMount, options: &Options, early: Option<OwnedFd>) -> Result<(OwnedFd, OwnedFd)> {
    let whole = match early {
        Some(whole) => whole,
        None => open_one(&whole_of(one, options, None))?,
    };
    let tree = match &options.subdirectory {
        Some(inside) => part_of(root, &whole, inside)?,
        None => whole,
    };
    if !options.attributes.is_empty() {
        mount::set_attributes(tree.as_fd(), options.attributes, false)?;
    }
    let target = target_of(root, &tree, &one.destination)?;
    Ok((tree, target))
}

fn whole_of(one: &OciMount, options: &Options, id_maps: Option<IdMaps>) -> Mount {
    Mount {
        type_: one.type_.clone().unwrap_or_default(),
        source: one.source.clone().unwrap_or_default(),
        target: None,
        options: options.data.clone(),
        id_maps,
    }
}

/// Before Linux 6.15 a part of a detached mount can't be bound. So the mount is attached temporarily, over the root, in which no process
/// runs yet.
fn part_of(root: &Root, whole: &OwnedFd, inside: &str) -> Result<OwnedFd> {
    mount::attach_to(whole.as_fd(), root.fd())?;
    let part = find_inside(whole.as_fd(), inside).and_then(|found| mount::clone_descriptor(found.as_fd(), true));
    let path = sys::text(&format!("/proc/self/fd/{}", whole.as_raw_fd()))?;
    rustix::mount::unmount(&path, UnmountFlags::DETACH).call("umount2", None)?;
    part
}

fn file_system(place: &Place, kind: &str, one: &OciMount, options: &Options, early: Option<OwnedFd>) -> Result<(OwnedFd, OwnedFd)> {
    // A tmpfs without a mode option gets the mode of the directory that it covers; if there is no directory, 1777.
    let covered = place.root.find(&one.destination)?.map(|fd| sys::stat(fd.as_fd())).transpose()?;
    let target = place.root.make_directory(&one.destination, 0o755)?;
    if kind == "proc" || kind == "sysfs" {
        // Masks are applied later under these names, so the names must not lead elsewhere.
        place
            .root
            .open(&one.destination, libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .map_err(|failure| Failure {
                code: Code::InvalidArgument,
                message: format!("{kind} must be mounted on an ordinary directory"),
                ..failure
            })?;
    }
    if let Some(tree) = early {
        return Ok((tree, target));
    }
    let context = Context::open(kind)?;
    if let Some(source) = one.source.as_deref().filter(|source| !source.is_empty()) {
        context.set("source", source)?;
    }
    for option in &options.data {
        context.option(option)?;
    }
    if kind == "tmpfs"
        && !options.data.iter().any(|option| option.starts_with("mode="))
        && let Some(covered) = covered
    {
        context.set("mode", &format!("{:o}", covered.st_mode & 0o7777))?;
    }
    let label = place.label.filter(|label| !label.is_empty());
    if let Some(label) = label.filter(|_| matches!(kind, "tmpfs" | "devpts")) {
        context.set("context", label)?;
    }
    let mut attributes = options.attributes;
    if options.copy_up {
        attributes.set &= !mount::RDONLY;
    } else if attributes.set & mount::RDONLY != 0 {
        // Makes the whole file system read-only, not only this mount of it, as mount(2) does.
        context.flag("ro")?;
    }
    let tree = context.mount(attributes)?;
    // Message queues take no label as an option, but store one. If they don't, a policy labels them.
    if let Some(label) = label.filter(|_| kind == "mqueue") {
        let _ = xattr::set_opened(tree.as_fd(), b"security.selinux", label.as_bytes());
    }
    if options.copy_up && kind == "tmpfs" {
        super::copy_up::copy(
            place.root.open(&one.destination, libc::O_RDONLY | libc::O_DIRECTORY)?.as_fd(),
            tree.as_fd(),
        )?;
        if options.attributes.set & mount::RDONLY != 0 {
            protect(tree.as_fd())?;
        }
    }
    Ok((tree, target))
}

/// Rejects mounts inside /proc, except a few. Such a mount can redirect writes to /proc. Runtimes agree on the exceptions, which lxcfs and
/// rootless engines need.
fn guard_proc(target: BorrowedFd, one: &OciMount) -> Result<()> {
    const ALLOWED: [&str; 10] = [
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
    ];
    if sys::file_system(target)? != sys::PROC_MAGIC {
        return Ok(());
    }
    let inside = one.destination.trim_end_matches('/').strip_prefix("/proc");
    match inside {
        // A mount over all of /proc is harmless: it is the same as no /proc.
        Some("") => Ok(()),
        Some(rest) if ALLOWED.contains(&rest.trim_start_matches('/')) => Ok(()),
        _ => Err(Failure::new(Code::InvalidArgument, "nothing may be mounted inside /proc")),
    }
}

/// Mounts the container's own cgroups: one file system on v2; a tmpfs with one file system per hierarchy on v1 and hybrid. With a cgroup
/// namespace the container's directory is the root of each file system; without, its directories are bound there.
fn mount_cgroup(place: &Place, one: &OciMount, options: &Options) -> Result<()> {
    let target = place.root.make_directory(&one.destination, 0o755)?;
    let layout = Layout::discover()?;
    let Layout::V1 { hierarchies, .. } = &layout else {
        let tree = match place.cgroup {
            Some(cgroup) if !place.cgroup_namespace => {
                let tree = mount::clone_tree(&cgroup.directories().next().unwrap_or_default(), true)?;
                mount::set_attributes(tree.as_fd(), options.attributes, false)?;
                tree
            }
            _ => Context::open("cgroup2")?.mount(options.attributes)?,
        };
        return join(&tree, &target, one, options);
    };
    let context = Context::open("tmpfs")?;
    context.set("source", "tmpfs")?;
    context.set("mode", "755")?;
    let writable = Attributes {
        set: options.attributes.set & !mount::RDONLY,
        ..Attributes::default()
    };
    let base = context.mount(writable)?;
    join(&base, &target, one, options)?;
    let top = Root::new(place.root.open(&one.destination, libc::O_PATH | libc::O_DIRECTORY)?);
    for hierarchy in hierarchies {
        let inside = top.make_directory(&hierarchy.name, 0o755)?;
        let tree = match place.cgroup {
            Some(cgroup) if !place.cgroup_namespace => {
                let tree = mount::clone_tree(&cgroup.directory_in(hierarchy), false)?;
                mount::set_attributes(tree.as_fd(), options.attributes, false)?;
                tree
            }
            _ => {
                let context = Context::open("cgroup")?;
                context.set("source", "cgroup")?;
                match hierarchy.name.as_str() {
                    "systemd" => {
                        context.flag("none")?;
                        context.set("name", "systemd")?;
                    }
                    controllers => controllers.split(',').try_for_each(|controller| context.flag(controller))?,
                }
                context.mount(options.attributes)?
            }
        };
        mount::attach_to(tree.as_fd(), inside.as_fd())?;
        if hierarchy.name.contains(',') {
            for controller in hierarchy.name.split(',') {
                link(&top, &hierarchy.name, controller)?;
            }
        }
    }
    if options.attributes.set & mount::RDONLY != 0 {
        protect(base.as_fd())?;
    }
    Ok(())
}

fn link(root: &Root, to: &str, name: &str) -> Result<()> {
    let (to, name) = (sys::text(to)?, sys::text(name)?);
    at::make_link(&to, root.fd(), &name).call("symlink", None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_by_their_receiver() {
        let words = ["rbind", "rro", "nosuid", "rslave", "size=64m", "mode=1777"].map(String::from);
        let options = Options::parse(&words);
        assert!(options.bind && options.recursive);
        assert_eq!(options.attributes.set, mount::NOSUID);
        assert_eq!(options.recursive_attributes.set, mount::RDONLY);
        assert_eq!(options.propagation, Some((libc::MS_SLAVE, true)));
        assert_eq!(options.data, ["size=64m", "mode=1777"]);
        let part = Options::parse(&["rbind", "X-mount.subdir=a=b/c"].map(String::from));
        assert_eq!(part.subdirectory.as_deref(), Some("a=b/c"));
        assert!(part.data.is_empty());
    }
}
