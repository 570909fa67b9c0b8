//! A container that is described by an OCI runtime spec.

use super::{Surroundings, expose};
use crate::filter::read_filter;
use crate::starting::NewProcess;
use tsbox_core::failure::Result;
use tsbox_runtime::{Launch, Root, Spec};

/// The path of the compiled seccomp filter. Exec drivers compile it in advance, because a profile would add 30 KB of JSON to each start.
const FILTER: &str = "io.tsbox.seccomp-filter";
/// The directory where hooks find a `config.json`.
const BUNDLE: &str = "io.tsbox.bundle";

pub struct Oci {
    pub spec: Spec,
}

impl Oci {
    pub fn expose(&mut self) {
        if let Some(process) = &mut self.spec.process {
            expose(process);
        }
    }

    pub fn begin(&self, around: &Surroundings) -> Result<NewProcess> {
        let filter = self.spec.annotation(FILTER).map(read_filter).transpose()?;
        let launching = tsbox_runtime::begin(&Launch {
            id: around.id,
            spec: &self.spec,
            root: Root::Mounts(around.rootfs),
            stdio: around.stdio,
            seccomp: filter.as_deref(),
            hold: Some(around.hold),
            bundle: self.spec.annotation(BUNDLE).unwrap_or_default(),
            owns_cgroup: true,
        })?;
        Ok(NewProcess::Launching(launching.hold_mounts()))
    }
}
