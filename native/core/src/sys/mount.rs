//! The mount API of Linux 5.2 (fsopen, fsconfig, fsmount, open_tree, move_mount) and mount_setattr of 5.12, which take descriptors.
//!
//! A *detached* mount belongs to no mount namespace: /proc/mounts does not list it, `openat2` works below its descriptor, and it disappears
//! with its last descriptor. [`attach`] attaches one in the caller's own mount namespace.
//!
//! Sources: open_tree(2), fsconfig(2), mount_setattr(2).

pub use super::attributes::{Attributes, NODEV, NOEXEC, NOSUID, RDONLY};

use super::attributes::IDMAP;
use super::{Call, text};
use crate::failure::{Code, Failure, Result};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// fsconfig(2) takes values shorter than this.
pub const LONGEST_VALUE: usize = 256;

/// A file system that is being configured: the descriptor of fsopen(2).
pub struct Context {
    fd: OwnedFd,
    kind: String,
}

impl Context {
    /// Fails with `Unsupported` if the kernel has no file system of this kind.
    pub fn open(kind: &str) -> Result<Context> {
        let fd = fsopen(&text(kind)?, FsOpenFlags::FSOPEN_CLOEXEC)
            .call("fsopen", Some(kind))
            .map_err(|failure| match failure.errno {
                Some(libc::ENODEV) => Failure {
                    code: Code::Unsupported,
                    message: format!("this kernel has no file system {kind}"),
                    ..failure
                },
                _ => failure,
            })?;
        Ok(Context { fd, kind: kind.to_owned() })
    }

    /// Sets a parameter to a string.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        if value.len() >= LONGEST_VALUE {
            let what = format!("mount {}: option {key} is longer than {} bytes", self.kind, LONGEST_VALUE - 1);
            return Err(Failure::new(Code::InvalidArgument, what));
        }
        let (key, value) = (text(key)?, text(value)?);
        self.checked("fsconfig", fsconfig_set_string(&self.fd, &key, &value))
    }

    /// Sets a parameter that has no value.
    pub fn flag(&self, key: &str) -> Result<()> {
        let key = text(key)?;
        self.checked("fsconfig", fsconfig_set_flag(&self.fd, &key))
    }

    /// Sets `key` or `key=value`. `ro=fs` is mount(8)'s word for a file system that is read-only itself, not only the mount of it.
    pub fn option(&self, option: &str) -> Result<()> {
        match option.split_once('=') {
            Some(("ro", "fs")) => self.flag("ro"),
            Some((key, value)) => self.set(key, value),
            None => self.flag(option),
        }
    }

    /// Sets a parameter to a descriptor.
    pub fn descriptor(&self, key: &str, value: BorrowedFd) -> Result<()> {
        let key = text(key)?;
        self.checked("fsconfig", fsconfig_set_fd(&self.fd, &key, value))
    }

    /// Makes the superblock and a detached mount of it.
    pub fn mount(self, attributes: Attributes) -> Result<OwnedFd> {
        self.checked("fsconfig", fsconfig_create(&self.fd))?;
        let flags = MountAttrFlags::from_bits_retain(attributes.set as u32);
        self.checked("fsmount", fsmount(&self.fd, FsMountFlags::FSMOUNT_CLOEXEC, flags))
    }

    /// Adds the reason of a failure. File systems write it to the context's log (`e overlay: …`), which is read from the context's
    /// descriptor; the errno alone is not informative.
    fn checked<T>(&self, syscall: &str, answer: rustix::io::Result<T>) -> Result<T> {
        answer.call(syscall, Some(&self.kind)).map_err(|failure| {
            let reasons = self.log();
            if reasons.is_empty() {
                return failure;
            }
            let errno = std::io::Error::from_raw_os_error(failure.errno.unwrap_or(0));
            Failure {
                message: format!("mount {}: {} ({errno})", self.kind, reasons.join("; ")),
                ..failure
            }
        })
    }

    fn log(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let mut buffer = [0u8; 1024];
        // The kernel answers ENODATA when the log is empty.
        while let Ok(count @ 1..) = rustix::io::read(&self.fd, &mut buffer) {
            reasons.push(reason(&String::from_utf8_lossy(&buffer[..count])).to_owned());
        }
        reasons
    }
}

/// A line of a context's log without its level: error, warning or information.
fn reason(line: &str) -> &str {
    let line = line.trim_end();
    ["e ", "w ", "i "].iter().find_map(|level| line.strip_prefix(level)).unwrap_or(line)
}

/// Attaches a detached mount at a path of the caller's mount namespace.
pub fn attach(mount: BorrowedFd, path: &Path) -> Result<()> {
    let name = text(&path.to_string_lossy())?;
    move_mount(mount, c"", CWD, &name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .call("move_mount", None)
        .map_err(|failure| Failure {
            path: Some(path.display().to_string()),
            ..failure
        })
}

/// Attaches a detached mount on the file of an `O_PATH` descriptor. No path is looked up, so none can be replaced meanwhile.
pub fn attach_to(mount: BorrowedFd, place: BorrowedFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", place, c"", flags).call("move_mount", None)
}

/// A detached bind of a path. `recursive`: includes the mounts below it.
pub fn clone_tree(path: &Path, recursive: bool) -> Result<OwnedFd> {
    let shown = path.to_string_lossy();
    clone(CWD, &text(&shown)?, OpenTreeFlags::empty(), recursive).map_err(|failure| Failure {
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

/// A detached bind of a descriptor's file.
pub fn clone_descriptor(place: BorrowedFd, recursive: bool) -> Result<OwnedFd> {
    clone(place, c"", OpenTreeFlags::AT_EMPTY_PATH, recursive)
}

fn clone(directory: BorrowedFd, name: &CStr, flags: OpenTreeFlags, recursive: bool) -> Result<OwnedFd> {
    let mut flags = flags | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(directory, name, flags).call("open_tree", None)
}

/// Changes attributes of a mount. `recursive`: also of the mounts below it.
pub fn set_attributes(mount: BorrowedFd, attributes: Attributes, recursive: bool) -> Result<()> {
    setattr(mount, attributes, recursive, None)
}

/// Maps the ids of a detached mount through a user namespace (Linux 5.12; overlay's layers 5.19).
pub fn set_attributes_idmapped(mount: BorrowedFd, attributes: Attributes, recursive: bool, user_namespace: BorrowedFd) -> Result<()> {
    setattr(mount, attributes, recursive, Some(user_namespace))
}

/// mount_setattr(2), which rustix does not have.
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
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `attr` has the kernel's layout, its size goes along, and the kernel only reads it.
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
    super::check(result, "mount_setattr", None).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_no_level() {
        assert_eq!(reason("e overlay: bad option\n"), "overlay: bad option");
        assert_eq!(reason("w old"), "old");
        assert_eq!(reason("even so"), "even so");
    }

    #[test]
    fn a_value_that_the_kernel_would_refuse_is_named() {
        let Ok(context) = Context::open("proc") else {
            return; // A user without privilege.
        };
        let failure = context.set("hidepid", &"x".repeat(LONGEST_VALUE)).unwrap_err();
        assert!(failure.message.contains("option hidepid is longer than 255 bytes"), "{failure}");
    }
}
