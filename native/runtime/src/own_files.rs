//! What Docker puts into the root of every container, which programs look for: `/.dockerenv`, and `/etc/mtab`. In the container's layer, so
//! it is made before anything is mounted over that.

use std::os::fd::AsRawFd;
use tsbox_core::tree::root::Root;

/// The annotation that asks for it.
pub const OWN_FILES: &str = "io.tsbox.own-files";

/// What is there is left as it is, and so is a root that nothing can be made in.
pub fn make(root: &Root) {
    // SAFETY: strings of this program's own, and descriptors that outlive each call.
    unsafe {
        let file = libc::openat(
            root.fd().as_raw_fd(),
            c".dockerenv".as_ptr(),
            libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_WRONLY | libc::O_CLOEXEC,
            0o755,
        );
        if file >= 0 {
            libc::close(file);
        }
    }
    if let Ok(directory) = root.make_directory("/etc", 0o755) {
        // SAFETY: as above.
        unsafe { libc::symlinkat(c"/proc/mounts".as_ptr(), directory.as_raw_fd(), c"mtab".as_ptr()) };
    }
}
