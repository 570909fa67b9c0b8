//! Changes that the launcher makes to its own process before it serves.

use rustix::fs::{Mode, OFlags};
use std::path::{Path, PathBuf};
use tsbox_core::failure::Result;
use tsbox_core::sys;
use tsbox_core::sys::signals::{self, Signals};

/// Protects this process from the OOM killer. A host that runs out of memory shall end containers, not the processes that hold them. Shims
/// are forks of this process and inherit its score; the processes of a container get their own score. On a host that refuses the change (no
/// CAP_SYS_RESOURCE) shims count like any other process; they are small.
pub fn protect() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
}

/// Makes this process the parent of orphaned descendants: the containers of killed shims.
pub fn become_subreaper() {
    let _ = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, "PR_SET_CHILD_SUBREAPER");
}

/// Blocks the signals permanently; they are read from a descriptor.
pub fn signals() -> Result<Signals> {
    signals::ignore(libc::SIGPIPE);
    signals::ignore(libc::SIGHUP);
    Signals::also(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT])
}

/// Leaves the cgroups of the client that started this engine: the engine must not be counted, limited or killed with that client's session.
pub fn leave_cgroups() {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return;
    };
    for point in cgroup_roots(&mounts) {
        let (v1, v2) = (point.join("tasks"), point.join("cgroup.procs"));
        // A systemd host has a unit for the engine. A failure here is harmless.
        let _ = std::fs::write(if v1.exists() { v1 } else { v2 }, "0");
    }
}

/// The mount points of cgroup file systems, from /proc/self/mountinfo.
fn cgroup_roots(mounts: &str) -> impl Iterator<Item = PathBuf> {
    mounts
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .filter_map(|line| Some(Path::new(line.split(' ').nth(4)?).to_owned()))
}

/// Redirects standard output to /dev/null.
pub fn silence() {
    if let Ok(null) = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::stdio::dup2_stdout(null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_both_versions_are_found() {
        let mounts = "23 20 0:21 / /proc rw - proc proc rw\n\
                      31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n\
                      32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found: Vec<_> = cgroup_roots(mounts).collect();
        assert_eq!(found, [Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/memory")]);
    }
}
