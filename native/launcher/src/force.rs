//! Signals that bypass a shim: a user can end a container whatever the state of its shim.

use tsbox_core::container::cgroup::Cgroup;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::peer::protocol::Signal;
use tsbox_core::sys::process::kill;

/// Fails with `FailedPrecondition` if the process has ended.
pub fn signal(wanted: &Signal) -> Result<()> {
    let cgroup = cgroup_of(wanted)?;
    if wanted.all || wanted.signal == libc::SIGKILL {
        cgroup.kill_all(wanted.signal)?;
    }
    // `cgroup_of` has just confirmed that the pid belongs to the container.
    let sent = kill(wanted.pid, wanted.signal);
    if !wanted.all {
        sent?;
    }
    if wanted.signal == libc::SIGKILL {
        // On cgroup v1 even SIGKILL waits until a frozen group is thawed. If the group is not frozen, the call fails, which does not
        // matter.
        let _ = cgroup.thaw();
    }
    Ok(())
}

/// The pid may belong to another process by now, so this checks that the container's id is in the name of the pid's cgroup.
fn cgroup_of(wanted: &Signal) -> Result<Cgroup> {
    let ended = || Failure::new(Code::FailedPrecondition, "the container is not running");
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", wanted.pid)).map_err(|_| ended())?;
    let path = text
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find(|path| !wanted.id.is_empty() && path.contains(&wanted.id))
        .ok_or_else(ended)?;
    // The first process may be in a subgroup of the container's cgroup.
    let end = path.find(&wanted.id).map_or(path.len(), |at| at + wanted.id.len());
    let whole = path[end..].find('/').map_or(path, |at| &path[..end + at]);
    Cgroup::at(whole)
}
