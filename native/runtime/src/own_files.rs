//! What Docker puts into the root of every container, which programs look for: `/.dockerenv`, and `/etc/mtab`. In the container's layer, so
//! it is made before anything is mounted over that.

use std::os::fd::AsFd;
use tsbox_core::sys::at;
use tsbox_core::tree::root::Root;

/// The annotation that asks for it.
pub const OWN_FILES: &str = "io.tsbox.own-files";

/// What is there is left as it is, and so is a root that nothing can be made in.
pub fn make(root: &Root) {
    let _ = at::open(root.fd(), c".dockerenv", libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o755);
    if let Ok(directory) = root.make_directory("/etc", 0o755) {
        let _ = at::make_link(c"/proc/mounts", directory.as_fd(), c"mtab");
    }
}
