//! Masked and read-only paths, by descriptor: the covering mount is opened and verified first, and is attached exactly to the file that was
//! found at the path.

use crate::failure::{Code, Failure, Result};
use crate::sys;
use crate::sys::mount::{self, Attributes, Context};
use crate::tree::root::Root;
use std::os::fd::{AsFd, OwnedFd};

/// The host's /dev/null, opened before the root is changed. A container's /dev/null can be replaced by a link to a file that the "mask"
/// then makes writable (CVE-2025-31133); this one is verified to be character device 1:3.
pub struct Mask {
    null: OwnedFd,
    /// One empty read-only tmpfs covers all directories.
    empty: Option<OwnedFd>,
}

impl Mask {
    pub fn open() -> Result<Mask> {
        let null = sys::open("/dev/null", libc::O_PATH | libc::O_NOFOLLOW)?;
        let stat = sys::stat(null.as_fd())?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || stat.st_rdev != libc::makedev(1, 3) {
            return Err(Failure::new(
                Code::FailedPrecondition,
                "/dev/null of this host is not the character device 1:3",
            ));
        }
        Ok(Mask { null, empty: None })
    }

    pub fn cover(&mut self, root: &Root, path: &str) -> Result<()> {
        let Some(target) = root.find(path)? else { return Ok(()) };
        let directory = sys::stat(target.as_fd())?.st_mode & libc::S_IFMT == libc::S_IFDIR;
        let tree = if !directory {
            // Read-only, which does not prevent writes to a device: root in the container owns this inode of the host and could change its
            // mode.
            let tree = mount::clone_descriptor(self.null.as_fd(), false)?;
            mount::set_attributes(
                tree.as_fd(),
                Attributes {
                    set: mount::RDONLY | mount::NOSUID | mount::NOEXEC,
                    ..Attributes::default()
                },
                false,
            )?;
            tree
        } else if let Some(empty) = &self.empty {
            mount::clone_descriptor(empty.as_fd(), false)?
        } else {
            let context = Context::open("tmpfs")?;
            context.set("source", "tmpfs")?;
            context.set("size", "0")?;
            context.set("nr_inodes", "1")?;
            let tree = context.mount(Attributes {
                set: mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC,
                ..Attributes::default()
            })?;
            mount::attach_to(tree.as_fd(), target.as_fd())?;
            self.empty = Some(tree);
            return Ok(());
        };
        mount::attach_to(tree.as_fd(), target.as_fd())
    }
}

/// Binds a path onto itself, read-only with everything below it.
pub fn make_read_only(root: &Root, path: &str) -> Result<()> {
    let Some(target) = root.find(path)? else { return Ok(()) };
    let tree = mount::clone_descriptor(target.as_fd(), true)?;
    mount::set_attributes(
        tree.as_fd(),
        Attributes {
            set: mount::RDONLY,
            ..Attributes::default()
        },
        true,
    )?;
    mount::attach_to(tree.as_fd(), target.as_fd())
}
