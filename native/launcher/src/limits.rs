//! Open files: the launcher has two for each container and more for each client, so it takes all that the host lets it have. What it starts
//! gets what it was given itself.

use std::sync::OnceLock;

static GIVEN: OnceLock<libc::rlimit> = OnceLock::new();

/// The soft limit becomes the hard one.
pub fn raise() {
    // SAFETY: rlimit is plain data that getrlimit fills.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return;
        }
        let _ = GIVEN.set(limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
}

/// In a fork: as it was before.
pub fn restore() {
    if let Some(limit) = GIVEN.get() {
        // SAFETY: a limit that this process had.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) };
    }
}
