//! Mounts by descriptor: the new mount API of Linux 5.2 (fsopen, fsconfig, fsmount, open_tree, move_mount) and 5.12 (mount_setattr).
//!
//! A mount that is *detached* belongs to no mount namespace: it is absent from /proc/mounts, `openat2` works below its descriptor, and it
//! goes with the last descriptor of it. [`attach`] puts one into the caller's own mount namespace.
//!
//! Sources: open_tree(2), fsconfig(2), mount_setattr(2), overlayfs.rst of the kernel.

use crate::container::root::Root;
use crate::container::sys;
use crate::failure::{Code, Failure, Result};
use crate::id_maps::IdMaps;
use crate::tree::{Named, at};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// `Mount` of kernel/src/contract/storage.ts: options are `key` or `key=value`, in order, and a key may repeat (`lowerdir+`). `target` is
/// relative to the root file system; none is the root itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    #[serde(rename = "type")]
    pub type_: String,
    pub source: String,
    pub target: Option<String>,
    #[serde(default)]
    pub options: Vec<String>,
    /// Ids that its files are shown with, for a container in a user namespace: [`crate::idmap`] does it.
    #[serde(default, rename = "idMaps", skip_serializing_if = "Option::is_none")]
    pub id_maps: Option<IdMaps>,
}

/// Attributes of one mount, as mount_setattr(2) takes them. The values are uapi/linux/mount.h's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0: as it is.
    pub propagation: u64,
}

pub const RDONLY: u64 = 0x1;
pub const NOSUID: u64 = 0x2;
pub const NODEV: u64 = 0x4;
pub const NOEXEC: u64 = 0x8;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;
/// MOUNT_ATTR_IDMAP: only in [`set_attributes_idmapped`].
const IDMAP: u64 = 0x10_0000;

impl Attributes {
    /// Takes an option that is an attribute of a mount (not of its file system); false: it is none.
    pub fn take(&mut self, option: &str) -> bool {
        let mut both = |set: u64, clear: u64| {
            self.set = (self.set & !clear) | set;
            self.clear = (self.clear & !set) | clear;
        };
        match option {
            "ro" => both(RDONLY, 0),
            "rw" => both(0, RDONLY),
            "nosuid" => both(NOSUID, 0),
            "suid" => both(0, NOSUID),
            "nodev" => both(NODEV, 0),
            "dev" => both(0, NODEV),
            "noexec" => both(NOEXEC, 0),
            "exec" => both(0, NOEXEC),
            // The kernel wants the whole access time field cleared before one of its values is set.
            "relatime" | "norelatime" | "atime" | "nostrictatime" => both(0, ATIME),
            "noatime" => {
                both(0, ATIME);
                self.set |= NOATIME;
            }
            "strictatime" => {
                both(0, ATIME);
                self.set |= STRICTATIME;
            }
            "nodiratime" => both(NODIRATIME, 0),
            "diratime" => both(0, NODIRATIME),
            "nosymfollow" => both(NOSYMFOLLOW, 0),
            "symfollow" => both(0, NOSYMFOLLOW),
            _ => return false,
        }
        true
    }

    pub fn is_empty(&self) -> bool {
        *self == Attributes::default()
    }
}

/// A file system that is being configured: the descriptor of fsopen(2).
pub struct Context {
    fd: OwnedFd,
    kind: String,
}

const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_SET_FD: u32 = 5;
const FSCONFIG_CMD_CREATE: u32 = 6;
/// What fsconfig(2) takes as one value, with its zero.
const LONGEST_VALUE: usize = 256;

impl Context {
    pub fn open(kind: &str) -> Result<Context> {
        let name = text(kind)?;
        // SAFETY: `name` is a C string that outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), libc::FSOPEN_CLOEXEC) };
        match own(fd) {
            Some(fd) => Ok(Context { fd, kind: kind.to_owned() }),
            None => {
                let failure = Failure::last("fsopen", Some(kind));
                Err(match failure.errno {
                    Some(libc::ENODEV) => Failure {
                        code: Code::Unsupported,
                        message: format!("this kernel has no file system {kind}"),
                        ..failure
                    },
                    _ => failure,
                })
            }
        }
    }

    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        self.configure(FSCONFIG_SET_STRING, key, Some(value))
    }

    pub fn flag(&self, key: &str) -> Result<()> {
        self.configure(FSCONFIG_SET_FLAG, key, None)
    }

    /// `key` or `key=value`.
    pub fn option(&self, option: &str) -> Result<()> {
        match option.split_once('=') {
            Some((key, value)) => self.set(key, value),
            None => self.flag(option),
        }
    }

    /// A descriptor as a parameter's value.
    pub fn descriptor(&self, key: &str, value: BorrowedFd) -> Result<()> {
        let key = text(key)?;
        // SAFETY: `key` outlives the call; the value is the descriptor's number.
        let result = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.fd.as_raw_fd(),
                FSCONFIG_SET_FD,
                key.as_ptr(),
                std::ptr::null::<u8>(),
                value.as_raw_fd(),
            )
        };
        if result == 0 { Ok(()) } else { Err(self.failure("fsconfig")) }
    }

    /// Makes the superblock and a detached mount of it.
    pub fn mount(self, attributes: Attributes) -> Result<OwnedFd> {
        self.create()?;
        // SAFETY: plain integers.
        let fd = unsafe { libc::syscall(libc::SYS_fsmount, self.fd.as_raw_fd(), FSMOUNT_CLOEXEC, attributes.set as u32) };
        own(fd).ok_or_else(|| self.failure("fsmount"))
    }

    fn create(&self) -> Result<()> {
        // SAFETY: CMD_CREATE takes neither key nor value.
        let result = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.fd.as_raw_fd(),
                FSCONFIG_CMD_CREATE,
                std::ptr::null::<u8>(),
                std::ptr::null::<u8>(),
                0,
            )
        };
        if result == 0 { Ok(()) } else { Err(self.failure("fsconfig")) }
    }

    fn configure(&self, command: u32, key: &str, value: Option<&str>) -> Result<()> {
        if value.is_some_and(|value| value.len() >= LONGEST_VALUE) {
            let what = format!("mount {}: option {key} is longer than {} bytes", self.kind, LONGEST_VALUE - 1);
            return Err(Failure::new(Code::InvalidArgument, what));
        }
        let (name, word) = (text(key)?, value.map(text).transpose()?);
        let pointer = word.as_ref().map_or(std::ptr::null(), |word| word.as_ptr());
        // SAFETY: both strings outlive the call.
        let result = unsafe { libc::syscall(libc::SYS_fsconfig, self.fd.as_raw_fd(), command, name.as_ptr(), pointer, 0) };
        if result == 0 { Ok(()) } else { Err(self.failure("fsconfig")) }
    }

    /// The errno alone says little: file systems put their reason into the context's log (`e overlay: …`), which is read from its
    /// descriptor.
    fn failure(&self, syscall: &str) -> Failure {
        let failure = Failure::last(syscall, Some(&self.kind));
        let mut why = Vec::new();
        let mut buffer = [0u8; 1024];
        loop {
            // SAFETY: the buffer is that long. A context answers ENODATA when its log is empty.
            let count = unsafe { libc::read(self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
            if count <= 0 {
                break;
            }
            let line = String::from_utf8_lossy(&buffer[..count as usize]);
            let line = line.trim_end();
            why.push(
                line.strip_prefix("e ")
                    .or(line.strip_prefix("w "))
                    .or(line.strip_prefix("i "))
                    .unwrap_or(line)
                    .to_owned(),
            );
        }
        if why.is_empty() {
            return failure;
        }
        let errno = std::io::Error::from_raw_os_error(failure.errno.unwrap_or(0));
        Failure {
            message: format!("mount {}: {} ({errno})", self.kind, why.join("; ")),
            ..failure
        }
    }
}

/// Opens mounts as one detached tree: the root first (the mount without target), the others below it. Nothing is left when it fails.
/// A target that is missing is made; where nothing can be written its mount is left out.
///
/// A mount on a detached tree is refused before Linux 6.15; there more than the root is `Unsupported`, and who has a mount namespace of his
/// own uses [`attach_all`], who has none [`open_held`].
pub fn open_detached(mounts: &[Mount]) -> Result<OwnedFd> {
    open_detached_by(mounts, open_one)
}

/// The same, by whoever knows how one of them is opened.
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

/// A tree of mounts, with what holds them together.
pub struct Held {
    pub root: OwnedFd,
    /// None: nothing has to.
    pub namespace: Option<OwnedFd>,
}

/// As [`open_detached`], on every kernel: where it takes no mounts on a detached tree, a thread makes a mount namespace for them, which no
/// process is in.
pub fn open_held(mounts: &[Mount]) -> Result<Held> {
    match open_detached(mounts) {
        Ok(root) => Ok(Held { root, namespace: None }),
        Err(failure) if failure.code == Code::Unsupported && failure.errno == Some(libc::EINVAL) => in_own_namespace(mounts),
        Err(failure) => Err(failure),
    }
}

/// A directory that every host has and no container's mount comes from.
const PLACE: &str = "/sys";

fn in_own_namespace(mounts: &[Mount]) -> Result<Held> {
    let work = || {
        // SAFETY: plain system calls; the thread shares its working directory with nobody afterwards, and ends.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(Failure::last("unshare", None));
        }
        let (none, slave) = (std::ptr::null(), libc::MS_REC | libc::MS_SLAVE);
        if unsafe { libc::mount(none, c"/".as_ptr(), none, slave, std::ptr::null()) } != 0 {
            return Err(Failure::last("mount", Some("/")));
        }
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

/// As [`open_detached`], but attached at `path` in the caller's mount namespace.
pub fn attach_all(mounts: &[Mount], path: &Path) -> Result<OwnedFd> {
    let (root, rest) = split(mounts)?;
    let tree = open_one(root)?;
    attach(tree.as_fd(), path)?;
    for mount in rest {
        attach_below(tree.as_fd(), mount, open_one(mount)?)?;
    }
    Ok(tree)
}

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

/// The root directory of a running process as the process sees it, with all its mounts, which stay as long as the answer does. `cgroup`: a
/// name in the path of its cgroup that no other process has, since a number may be used again; `FailedPrecondition` where the process is
/// gone.
pub fn process_root(pid: u32, cgroup: &str) -> Result<Held> {
    let gone = || {
        Failure::new(
            Code::FailedPrecondition,
            format!("process {pid} of the container has ended: its files can't be reached through it any more"),
        )
    };
    let path = format!("/proc/{pid}");
    let process = open_path(Path::new(&path)).map_err(|_| gone())?;
    // What is opened through this descriptor is this very process's, or fails.
    let is_it = || -> bool {
        let Ok(file) = at::open(process.as_fd(), c"cgroup", libc::O_RDONLY, 0) else {
            return false;
        };
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::fs::File::from(file), &mut text).is_ok() && text.contains(cgroup)
    };
    let follow = |name: &CStr, flags: i32| -> Result<OwnedFd> {
        // SAFETY: `name` outlives the call. A magic link, which is to be followed.
        let fd = unsafe { libc::openat(process.as_raw_fd(), name.as_ptr(), flags | libc::O_CLOEXEC) };
        own(libc::c_long::from(fd)).ok_or_else(gone)
    };
    if !is_it() {
        return Err(gone());
    }
    let namespace = follow(c"ns/mnt", libc::O_RDONLY)?;
    let root = follow(c"root", libc::O_PATH | libc::O_DIRECTORY)?;
    Ok(Held {
        root,
        namespace: Some(namespace),
    })
}

/// A mount's options, sorted by who takes them. Binds are of type `bind`, or of any type with the option `bind` or `rbind`.
pub(crate) struct Parts<'a> {
    pub bind: bool,
    pub recursive: bool,
    pub attributes: Attributes,
    pub data: Vec<&'a str>,
}

impl Parts<'_> {
    pub fn of(mount: &Mount) -> Parts<'_> {
        let mut parts = Parts {
            bind: mount.type_ == "bind",
            recursive: false,
            attributes: Attributes::default(),
            data: Vec::new(),
        };
        for option in &mount.options {
            match option.as_str() {
                "bind" => parts.bind = true,
                "rbind" => (parts.bind, parts.recursive) = (true, true),
                "defaults" => {}
                other if parts.attributes.take(other) => {}
                other => parts.data.push(other),
            }
        }
        parts
    }
}

/// One mount, detached.
pub fn open_one(mount: &Mount) -> Result<OwnedFd> {
    let Parts {
        bind,
        recursive,
        attributes,
        data,
    } = Parts::of(mount);
    if bind {
        if let Some(option) = data.first() {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!("a bind mount of {} has no option {option}", mount.source),
            ));
        }
        let tree = clone_tree(Path::new(&mount.source), recursive)?;
        if !attributes.is_empty() {
            set_attributes(tree.as_fd(), attributes, recursive)?;
        }
        return Ok(tree);
    }
    if data.iter().any(|option| option.starts_with("lowerdir+=")) {
        open_overlay(mount, &data, attributes)
    } else {
        open_plain(mount, &data, attributes)
    }
}

fn open_plain(mount: &Mount, data: &[&str], attributes: Attributes) -> Result<OwnedFd> {
    let context = Context::open(&mount.type_)?;
    if !mount.source.is_empty() {
        context.set("source", &mount.source)?;
    }
    for option in data {
        context.option(option)?;
    }
    context.mount(attributes)
}

/// Directories that are opened before they are named to overlayfs, by their descriptors in /proc: the kernel shows the names as they were
/// given to whoever reads a container's /proc/self/mountinfo, and these are nobody's. They are also short, where fsconfig(2) takes 255
/// bytes.
struct Lent(Vec<OwnedFd>);

impl Lent {
    fn name(&mut self, path: &str) -> Result<String> {
        let directory = open_path(Path::new(path))?;
        let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
        self.0.push(directory);
        Ok(name)
    }

    fn option(&mut self, option: &str) -> Result<String> {
        match option.split_once('=') {
            Some((key @ ("lowerdir+" | "upperdir" | "workdir"), path)) => Ok(format!("{key}={}", self.name(path)?)),
            _ => Ok(option.to_owned()),
        }
    }
}

/// `lowerdir+` is Linux 6.5's. Before that overlay takes one `lowerdir=a:b`, of which fsconfig(2) takes 255 bytes: so the lowers are named
/// by their numbers from within /proc/self/fd, which holds some 80 of them. The thread that goes there has a working directory of its own.
fn open_overlay(mount: &Mount, data: &[&str], attributes: Attributes) -> Result<OwnedFd> {
    forget_volatile(data)?;
    let mut lent = Lent(Vec::new());
    let options = data.iter().map(|option| lent.option(option)).collect::<Result<Vec<String>>>()?;
    let data: Vec<&str> = options.iter().map(String::as_str).collect();
    let refused = match open_plain(mount, &data, attributes) {
        // An old kernel takes any string and says no when the superblock is made.
        Err(failure) if failure.errno == Some(libc::EINVAL) && !has_lowerdir_plus() => failure,
        answer => return answer,
    };
    let (lowers, others): (Vec<&str>, Vec<&str>) = data.iter().partition(|option| option.starts_with("lowerdir+="));
    let numbers: Vec<&str> = lowers
        .iter()
        .filter_map(|option| option.strip_prefix("lowerdir+=/proc/self/fd/"))
        .collect();
    let joined = numbers.join(":");
    if joined.len() >= LONGEST_VALUE {
        let what = format!("{} overlay layers are too many for this kernel; Linux 6.5 takes 500", lowers.len());
        return Err(Failure {
            message: what,
            code: Code::Unsupported,
            ..refused
        });
    }
    let context = Context::open(&mount.type_)?;
    others.iter().try_for_each(|option| context.option(option))?;
    context.set("lowerdir", &joined)?;
    within_descriptors(|| context.mount(attributes))
}

/// An overlay that was mounted with `volatile` leaves a mark in its work directory, and is refused from then on: the host may have crashed.
/// Whoever mounts with that option does not mind.
pub(crate) fn forget_volatile(data: &[&str]) -> Result<()> {
    let Some(work) = data.iter().find_map(|option| option.strip_prefix("workdir=")) else {
        return Ok(());
    };
    if !data.contains(&"volatile") {
        return Ok(());
    }
    let mark = Path::new(work).join("work/incompat/volatile");
    let removed = [std::fs::remove_file(mark.join("dirty")), std::fs::remove_dir(&mark)];
    for error in removed.into_iter().filter_map(std::result::Result::err) {
        if error.kind() != ErrorKind::NotFound {
            return Err(Failure::io(&error, "remove", Some(&mark.to_string_lossy())));
        }
    }
    Ok(())
}

/// Runs `work` on a thread whose working directory, which is not the process's, lists this process's descriptors.
fn within_descriptors<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let directory = open_path(Path::new("/proc/self/fd"))?;
    let enter_and_work = || {
        // SAFETY: a plain system call, about this thread alone.
        if unsafe { libc::unshare(libc::CLONE_FS) } != 0 {
            return Err(Failure::last("unshare", None));
        }
        change_directory(&directory)?;
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("tsbox-mount".to_owned())
            .spawn_scoped(scope, enter_and_work);
        let thread = thread.map_err(|error| Failure::io(&error, "clone", None))?;
        thread
            .join()
            .map_err(|_| Failure::new(Code::Internal, "the mounting thread panicked"))?
    })
}

fn change_directory(directory: &OwnedFd) -> Result<()> {
    // SAFETY: a descriptor that is open.
    if unsafe { libc::fchdir(directory.as_raw_fd()) } == 0 {
        Ok(())
    } else {
        Err(Failure::last("fchdir", None))
    }
}

pub(crate) fn has_lowerdir_plus() -> bool {
    let Ok(release) = std::fs::read_to_string("/proc/sys/kernel/osrelease") else {
        return false;
    };
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(5))
}

/// Attaches a detached mount at a path of the caller's mount namespace.
pub fn attach(mount: BorrowedFd, path: &Path) -> Result<()> {
    let name = text(&path.to_string_lossy())?;
    move_mount(mount, libc::AT_FDCWD, &name, libc::MOVE_MOUNT_F_EMPTY_PATH).map_err(|failure| Failure {
        path: Some(path.display().to_string()),
        ..failure
    })
}

/// Attaches a detached mount on what an `O_PATH` descriptor shows: no path is looked up, so none can be swapped.
pub fn attach_to(mount: BorrowedFd, place: BorrowedFd) -> Result<()> {
    move_mount(
        mount,
        place.as_raw_fd(),
        c"",
        libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

fn move_mount(mount: BorrowedFd, directory: RawFd, name: &CStr, flags: u32) -> Result<()> {
    // SAFETY: both strings are C strings that outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            directory,
            name.as_ptr(),
            flags,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Failure::last("move_mount", None))
    }
}

/// A detached bind of a path; `recursive`: with the mounts below it.
pub fn clone_tree(path: &Path, recursive: bool) -> Result<OwnedFd> {
    let shown = path.to_string_lossy();
    open_tree(libc::AT_FDCWD, &text(&shown)?, if recursive { AT_RECURSIVE } else { 0 }).map_err(|failure| Failure {
        message: format!(
            "{}{shown}",
            failure
                .message
                .strip_prefix("open_tree")
                .map_or(String::new(), |rest| format!("bind{rest}: "))
        ),
        path: Some(shown.to_string()),
        ..failure
    })
}

/// A detached bind of what a descriptor shows.
pub fn clone_descriptor(place: BorrowedFd, recursive: bool) -> Result<OwnedFd> {
    open_tree(place.as_raw_fd(), c"", AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 })
}

fn open_tree(directory: RawFd, name: &CStr, flags: u32) -> Result<OwnedFd> {
    let flags = flags | libc::OPEN_TREE_CLONE | libc::O_CLOEXEC as u32;
    // SAFETY: `name` is a C string that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, directory, name.as_ptr(), flags) };
    own(fd).ok_or_else(|| Failure::last("open_tree", None))
}

/// Changes attributes of a mount; `recursive`: of those below it too.
pub fn set_attributes(mount: BorrowedFd, attributes: Attributes, recursive: bool) -> Result<()> {
    setattr(mount, attributes, recursive, None)
}

/// Maps the ids of a detached mount through a user namespace (Linux 5.12; overlay's layers 5.19).
pub fn set_attributes_idmapped(mount: BorrowedFd, attributes: Attributes, recursive: bool, user_namespace: BorrowedFd) -> Result<()> {
    setattr(mount, attributes, recursive, Some(user_namespace))
}

fn setattr(mount: BorrowedFd, attributes: Attributes, recursive: bool, user_namespace: Option<BorrowedFd>) -> Result<()> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr {
        set: attributes.set | if user_namespace.is_some() { IDMAP } else { 0 },
        clear: attributes.clear,
        propagation: attributes.propagation,
        userns_fd: user_namespace.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: `attr` has the kernel's layout, and its size goes along.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &attr,
            std::mem::size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Failure::last("mount_setattr", None))
    }
}

fn open_path(path: &Path) -> Result<OwnedFd> {
    let shown = path.to_string_lossy();
    let name = text(&shown)?;
    // SAFETY: `name` is a C string that outlives the call.
    own(unsafe { libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) } as libc::c_long)
        .ok_or_else(|| Failure::last("open", Some(&shown)))
}

const AT_EMPTY_PATH: u32 = 0x1000;
const AT_RECURSIVE: u32 = 0x8000;
const FSMOUNT_CLOEXEC: u32 = 1;

fn text(word: &str) -> Result<CString> {
    CString::new(word).map_err(|_| Failure::new(Code::InvalidArgument, format!("a zero byte in {word:?}")))
}

fn own(fd: libc::c_long) -> Option<OwnedFd> {
    // SAFETY: a system call just made it, and nobody else has it.
    if fd < 0 {
        None
    } else {
        Some(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> bool {
        // SAFETY: no arguments.
        unsafe { libc::geteuid() == 0 }
    }

    #[test]
    fn the_last_word_about_an_attribute_counts() {
        let mut attributes = Attributes::default();
        for option in ["ro", "nosuid", "rw", "noatime"] {
            assert!(attributes.take(option));
        }
        assert_eq!(
            attributes,
            Attributes {
                set: NOSUID | NOATIME,
                clear: RDONLY | ATIME,
                propagation: 0
            }
        );
        assert!(!attributes.take("size=3m"));
    }

    #[test]
    fn naming_descriptors_leaves_the_working_directory_of_the_process_alone() {
        let before = std::env::current_dir().unwrap();
        let own = open_path(Path::new("/")).unwrap();
        let number = own.as_raw_fd().to_string();
        let seen = within_descriptors(|| {
            // What the process's first thread has meanwhile.
            let main = std::fs::read_link(format!("/proc/self/task/{}/cwd", std::process::id())).unwrap();
            Ok((main, std::fs::metadata(&number).is_ok_and(|found| found.is_dir())))
        });
        assert_eq!(seen.unwrap(), (before.clone(), true));
        assert_eq!(std::env::current_dir().unwrap(), before);
    }

    #[test]
    fn an_overlay_opens_detached_and_is_in_no_table() {
        if !root() {
            return eprintln!("skipped: needs root");
        }
        let world = std::env::temp_dir().join(format!("tsbox-mount-{}", std::process::id()));
        for name in ["a", "b:c", "upper", "work"] {
            std::fs::create_dir_all(world.join(name)).unwrap();
        }
        std::fs::write(world.join("a/one"), "1").unwrap();
        std::fs::write(world.join("b:c/two"), "2").unwrap();
        let at = |name: &str| world.join(name).display().to_string();
        let mount = Mount {
            type_: "overlay".into(),
            source: "overlay".into(),
            target: None,
            options: vec![
                format!("lowerdir+={}", at("a")),
                format!("lowerdir+={}", at("b:c")),
                format!("upperdir={}", at("upper")),
                format!("workdir={}", at("work")),
            ],
            id_maps: None,
        };
        let tree = open_detached(std::slice::from_ref(&mount)).unwrap();
        assert!(at::open_in_root(tree.as_fd(), b"/one", libc::O_RDONLY).is_ok());
        assert!(at::open_in_root(tree.as_fd(), b"../../two", libc::O_RDONLY).is_ok());
        assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&at("upper")));
        drop(tree);
        let mut volatile = mount.clone();
        volatile.options.push("volatile".into());
        for _ in 0..2 {
            drop(open_detached(std::slice::from_ref(&volatile)).unwrap());
            assert!(world.join("work/work/incompat/volatile").exists());
        }
        let wrong = Mount {
            options: vec![format!("lowerdir+={}", at("a")), "nonsense=1".into()],
            ..mount
        };
        let failure = open_detached(&[wrong]).unwrap_err();
        // Before 6.5 overlay tells the system log alone.
        assert!(failure.message.contains("nonsense") || !has_lowerdir_plus(), "{failure}");
        std::fs::remove_dir_all(&world).unwrap();
    }
}
