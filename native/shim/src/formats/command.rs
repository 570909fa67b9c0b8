//! A container, or an exec, that the commands of another runtime start.

use super::{ExecSurroundings, Surroundings};
use crate::starting::NewProcess;
use serde::Deserialize;
use std::os::fd::AsFd;
use std::path::Path;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_runtime::{Commands, Step, replace_if_ended};

/// `LaunchCommand` of kernel/src/contract/exec.ts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    pub steps: Vec<Step>,
    /// Where the root is mounted first. None: the format mounts it.
    pub rootfs: Option<String>,
    /// The cgroup that the runtime uses. None, for an exec: the container's.
    pub cgroup: Option<String>,
    pub pid_file: Option<String>,
    pub console_socket: Option<String>,
    #[serde(default)]
    pub own_files: bool,
    #[serde(default)]
    pub directories: Vec<String>,
    #[serde(default)]
    pub files: Vec<String>,
    #[serde(default)]
    pub stays: bool,
    #[serde(default)]
    pub enter: bool,
}

impl Command {
    pub fn begin(&self, around: &Surroundings) -> Result<NewProcess> {
        let no_cgroup = || Failure::new(Code::InvalidArgument, "the launch does not say in which cgroup its processes are");
        let commands = Commands {
            root: self.rootfs.as_deref().map(|path| (Path::new(path), around.rootfs)),
            hold: Some(around.hold),
            ..self.commands(around.stdio)
        };
        let launching = tsbox_runtime::command(&commands, self.cgroup.as_deref().ok_or_else(no_cgroup)?)?;
        Ok(NewProcess::Launching(launching.hold_mounts()))
    }

    pub fn begin_exec(&self, around: &ExecSurroundings) -> Result<NewProcess> {
        let container = around.container;
        tsbox_runtime::join_command(&self.commands(around.stdio))
            .map(NewProcess::Joining)
            .map_err(|failure| replace_if_ended(failure, container.pid, container.pidfd.as_fd()))
    }

    fn commands(&self, stdio: tsbox_runtime::Stdio) -> Commands<'_> {
        Commands {
            steps: &self.steps,
            root: None,
            own_files: self.own_files,
            directories: &self.directories,
            files: &self.files,
            stdio,
            hold: None,
            pid_file: self.pid_file.as_deref().map(Path::new),
            console_socket: self.console_socket.as_deref().map(Path::new),
            stays: self.stays,
            enter: self.enter,
        }
    }
}
