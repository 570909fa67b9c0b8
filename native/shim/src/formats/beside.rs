//! An exec with its own root file system that joins namespaces of the container (`tsbox debug`).

use super::{ExecSurroundings, expose};
use crate::filter::read_filter;
use crate::starting::NewProcess;
use serde::Deserialize;
use std::os::fd::AsFd;
use tsbox_core::failure::Result;
use tsbox_core::mount::Mount;
use tsbox_runtime::{Launch, Root, Spec, replace_if_ended};

#[derive(Deserialize)]
pub struct Beside {
    spec: Spec,
    rootfs: Vec<Mount>,
    /// The file of the compiled seccomp filter.
    filter: Option<String>,
}

impl Beside {
    pub fn expose(&mut self) {
        if let Some(process) = &mut self.spec.process {
            expose(process);
        }
    }

    pub fn begin(&self, around: &ExecSurroundings) -> Result<NewProcess> {
        let container = around.container;
        tsbox_runtime::begin(&Launch {
            id: around.exec,
            spec: &self.spec,
            root: Root::Mounts(&self.rootfs),
            stdio: around.stdio,
            seccomp: self.filter.as_deref().map(read_filter).transpose()?.as_deref(),
            hold: None,
            bundle: "",
            owns_cgroup: false,
        })
        .map(NewProcess::Launching)
        .map_err(|failure| replace_if_ended(failure, container.pid, container.pidfd.as_fd()))
    }
}
