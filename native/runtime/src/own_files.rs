//! Files that Docker puts into the root of every container and that programs look for: `/.dockerenv`, and `/etc/mtab`. They belong to the
//! container's layer, so they are made before other file systems are mounted over it.

use std::os::fd::AsFd;
use tsbox_core::sys::at;
use tsbox_core::tree::root::Root;

/// The annotation that asks for these files.
pub const OWN_FILES: &str = "io.tsbox.own-files";

/// Existing files stay unchanged. Errors are ignored, so a root without write access stays unchanged, too.
pub fn make(root: &Root) {
    let _ = at::open(root.fd(), c".dockerenv", libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o755);
    if let Ok(directory) = root.make_directory("/etc", 0o755) {
        let _ = at::make_link(c"/proc/mounts", directory.as_fd(), c"mtab");
    }
}
