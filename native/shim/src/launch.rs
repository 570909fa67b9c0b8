//! From the daemon's words to a process on its way: the pipes, the log, and the runtime's launch.

use crate::client::Client;
use crate::filter::read_filter;
use crate::log::Log;
use crate::pipes::Pipes;
use crate::session::Session;
use crate::starting::{Begun, Starting, Talk, Target, Wanted};
use serde::Deserialize;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::mount::Mount;
use tsbox_core::peer::protocol::{Log as LogSettings, Window};
use tsbox_runtime::{Launch, Root, Spec};

/// The compiled seccomp filter's file, which exec drivers put in the place of a profile (30 KB of JSON a start).
const FILTER: &str = "io.tsbox.seccomp-filter";
/// Where hooks find a `config.json`.
const BUNDLE: &str = "io.tsbox.bundle";

/// `ShimLaunch` of kernel/src/contract/launcher.ts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub seq: u32,
    pub launch: Format,
    pub rootfs: Vec<Mount>,
    pub terminal: Option<Window>,
    pub stdin: bool,
    pub stdin_once: bool,
    pub log: LogSettings,
    pub client: Option<Client>,
}

impl Start {
    pub fn starting(self, begun: Begun, fds: Vec<OwnedFd>) -> Starting {
        let wanted = Wanted {
            seq: self.seq,
            target: Target::Container,
            stdin: self.stdin,
            client: self.client,
        };
        Starting::new(wanted, begun, fds)
    }

    /// A process that names no score has the usual one, and not its shim's, which is protected.
    pub fn expose(&mut self) {
        if let Some(process) = self.launch.spec.as_mut().and_then(|spec| spec.process.as_mut()) {
            process.oom_score_adj.get_or_insert(0);
        }
    }
}

/// `Launch` of kernel/src/contract/exec.ts.
#[derive(Deserialize)]
pub struct Format {
    kind: String,
    spec: Option<Spec>,
}

/// `hold`: see [`Launch::hold`].
pub fn begin(id: &str, start: &Start, hold: &OwnedFd) -> Result<Begun> {
    let since = Instant::now();
    let Some(spec) = start.launch.spec.as_ref().filter(|_| start.launch.kind == "oci") else {
        return Err(Failure::new(
            Code::Unsupported,
            format!("this shim starts launches of kind oci, not {}", start.launch.kind),
        ));
    };
    let filter = spec.annotation(FILTER).map(read_filter).transpose()?;
    let log = Log::open(start.log.clone()).map_err(|error| Failure::io(&error, "open", Some(&start.log.path)).at("log"))?;
    let session =
        Session::new(log, start.terminal.is_some(), start.stdin_once).map_err(|error| Failure::io(&error, "mmap", None).at("stdio"))?;
    let pipes = if start.terminal.is_none() {
        Some(Pipes::new(start.stdin)?)
    } else {
        None
    };
    let launching = tsbox_runtime::begin(&Launch {
        id,
        spec,
        root: Root::Mounts(&start.rootfs),
        stdio: Pipes::stdio(pipes.as_ref(), start.terminal),
        seccomp: filter.as_deref(),
        hold: Some(hold.as_fd()),
        bundle: spec.annotation(BUNDLE).unwrap_or_default(),
        owns_cgroup: true,
    })?
    .hold_mounts();
    Ok(Begun {
        talk: Talk::Launching(launching),
        session,
        pipes,
        since,
    })
}
