//! The end of a container, for `delete` and for a `run` in the foreground.

use super::state::Container;
use super::{Global, warn};
use crate::hooks;
use std::os::fd::AsFd;
use std::time::Duration;
use tsbox_core::container::spec::{Hook, Spec};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys::process;

/// How long a killed process may take to end. An uninterruptible sleep can last longer.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Kills the processes, removes the cgroups, runs the poststop hooks, and removes the container's state.
pub fn dispose(global: &Global, container: &Container, spec: &Spec) -> Result<()> {
    let cgroup = container.cgroup()?;
    cgroup.kill_all(libc::SIGKILL)?;
    if let Some(pidfd) = container.process()? {
        // If the runtime did not make the cgroup, the call above did not kill this process.
        let _ = process::signal(pidfd.as_fd(), libc::SIGKILL);
        if !process::await_end(pidfd.as_fd(), END_TIMEOUT) {
            return Err(Failure::new(
                Code::Unavailable,
                format!("container {} does not end", container.record.id),
            ));
        }
    }
    cgroup.remove()?;
    let state = hooks::State::new(spec, &container.record.id, "stopped", 0, &container.record.bundle);
    run_late("poststop", spec.hooks.as_ref().map_or(&[], |hooks| &hooks.poststop), &state, global);
    std::fs::remove_dir_all(&container.directory)
        .map_err(|error| Failure::io(&error, "remove", Some(&container.directory.to_string_lossy())))
}

/// Runs hooks whose failure is only a warning, since it changes nothing at this point.
pub fn run_late(kind: &str, wanted: &[Hook], state: &hooks::State, global: &Global) {
    if let Err(failure) = hooks::run(kind, wanted, state) {
        warn(global, &[failure.to_string()]);
    }
}
