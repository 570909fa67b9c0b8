//! Signals past a shim: a container ends when its user says so, whatever its shim does.

use tsbox_core::container::cgroup::Cgroup;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::peer::protocol::Signal;
use tsbox_core::sys::process::kill;

/// `FailedPrecondition`: the process has ended.
pub fn signal(wanted: &Signal) -> Result<()> {
    let cgroup = cgroup_of(wanted)?;
    if wanted.all || wanted.signal == libc::SIGKILL {
        cgroup.kill_all(wanted.signal)?;
    }
    // Its cgroup has just said that it is the container's process.
    let sent = kill(wanted.pid, wanted.signal);
    if !wanted.all {
        sent?;
    }
    if wanted.signal == libc::SIGKILL {
        // On cgroup v1 even SIGKILL waits until a frozen group is thawed; one that is not frozen says so.
        let _ = cgroup.thaw();
    }
    Ok(())
}

/// A pid alone may be somebody else's by now: the container's id is in the name of its cgroup.
fn cgroup_of(wanted: &Signal) -> Result<Cgroup> {
    let ended = || Failure::new(Code::FailedPrecondition, "the container is not running");
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", wanted.pid)).map_err(|_| ended())?;
    let path = text
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find(|path| !wanted.id.is_empty() && path.contains(&wanted.id))
        .ok_or_else(ended)?;
    // Its first process may lie in a group of its own below the container's.
    let end = path.find(&wanted.id).map_or(path.len(), |at| at + wanted.id.len());
    let whole = path[end..].find('/').map_or(path, |at| &path[..end + at]);
    Cgroup::at(whole)
}
