//! An exec that joins the container itself.

use super::{ExecSurroundings, expose};
use crate::filter::read_filter;
use crate::starting::NewProcess;
use serde::Deserialize;
use std::os::fd::AsFd;
use tsbox_core::failure::Result;
use tsbox_runtime::{Exec, Process};

#[derive(Deserialize)]
pub struct Join {
    pub process: Process,
    /// The file of the compiled seccomp filter.
    filter: Option<String>,
}

impl Join {
    pub fn expose(&mut self) {
        expose(&mut self.process);
    }

    pub fn begin(&self, around: &ExecSurroundings) -> Result<NewProcess> {
        tsbox_runtime::exec(&Exec {
            pid: around.container.pid,
            pidfd: around.container.pidfd.as_fd(),
            cgroup: around.cgroup,
            process: &self.process,
            stdio: around.stdio,
            seccomp: self.filter.as_deref().map(read_filter).transpose()?.as_deref(),
        })
        .map(NewProcess::Joining)
    }
}
