//! The start of a container: from the daemon's request to a process that is starting.

use crate::client::Client;
use crate::formats::{Format, Surroundings};
use crate::log::Log;
use crate::pipes::Pipes;
use crate::session::Session;
use crate::starting::{Begun, Starting, Target, Wanted};
use serde::Deserialize;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;
use tsbox_core::failure::{Failure, Result};
use tsbox_core::mount::Mount;
use tsbox_core::peer::protocol::{Log as LogSettings, Window};

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
}

/// Creates the process's stdio and log, and begins its launch. The launch waits until the pipe `hold` releases it.
pub fn begin(id: &str, start: &Start, hold: &OwnedFd) -> Result<Begun> {
    let since = Instant::now();
    start.launch.check()?;
    let log = Log::open(start.log.clone()).map_err(|error| Failure::io(&error, "open", Some(&start.log.path)).at("log"))?;
    let session =
        Session::new(log, start.terminal.is_some(), start.stdin_once).map_err(|error| Failure::io(&error, "mmap", None).at("stdio"))?;
    let pipes = match start.terminal {
        None => Some(Pipes::new(start.stdin)?),
        Some(_) => None,
    };
    let process = start.launch.begin(&Surroundings {
        id,
        rootfs: &start.rootfs,
        stdio: Pipes::stdio(pipes.as_ref(), start.terminal),
        hold: hold.as_fd(),
    })?;
    Ok(Begun {
        process,
        session,
        pipes,
        since,
    })
}
