//! A container, or an exec, that the commands of another runtime start.

use super::{ExecSurroundings, Surroundings};
use crate::starting::NewProcess;
use std::os::fd::AsFd;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_runtime::{LaunchCommand, replace_if_ended};

pub fn begin(launch: &LaunchCommand, around: &Surroundings) -> Result<NewProcess> {
    let no_cgroup = || Failure::new(Code::InvalidArgument, "the launch does not say in which cgroup its processes are");
    let cgroup = launch.cgroup.as_deref().ok_or_else(no_cgroup)?;
    let commands = launch.commands(around.rootfs, around.stdio, Some(around.hold));
    let launching = tsbox_runtime::command(&commands, cgroup)?;
    Ok(NewProcess::Launching(launching.hold_mounts()))
}

pub fn begin_exec(launch: &LaunchCommand, around: &ExecSurroundings) -> Result<NewProcess> {
    let container = around.container;
    let mut commands = launch.commands(&[], around.stdio, None);
    // The container has its root.
    commands.root = None;
    tsbox_runtime::join_command(&commands)
        .map(NewProcess::Joining)
        .map_err(|failure| replace_if_ended(failure, container.pid, container.pidfd.as_fd()))
}
