//! The state of a shim, and its reports to the launcher. The other files of this crate add its behaviour: `messages`, `starts`, `guests`,
//! `children`, `end`; `serve` is the loop that calls them.

use crate::Config;
use crate::adopted::Adopted;
use crate::birth::Parts;
use crate::channel::Channel;
use crate::exec::Execs;
use crate::namespaces::Namespaces;
use crate::process::{Process, not_running};
use crate::session::Session;
use crate::sink::Owner;
use crate::starting::Starting;
use crate::status::Unwritten;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Instant;
use tsbox_core::container::cgroup::MemoryWatch;
use tsbox_core::failure::{Failure, Result};
use tsbox_core::peer::protocol::{Attach, FromShim, SHIM};
use tsbox_core::sys::signals::Signals;
use tsbox_runtime::Cgroup;

/// The container: its first process and its resources.
pub(crate) struct Container {
    pub process: Process,
    /// The first process is the child of another runtime's monitor.
    pub adopted: Option<Adopted>,
    pub cgroup: Cgroup,
    pub paused: bool,
    pub memory: Option<MemoryWatch>,
    /// Held until the shim ends, which is after the container's end is reported.
    pub _mounts: Option<OwnedFd>,
}

pub struct Shim {
    pub(crate) id: String,
    pub(crate) directory: PathBuf,
    pub(crate) control: Option<Channel>,
    pub(crate) listener: UnixListener,
    /// Connections that have not stated their purpose yet.
    pub(crate) guests: Vec<Channel>,
    pub(crate) signals: Signals,
    pub(crate) namespaces: Namespaces,
    pub(crate) container: Option<Container>,
    pub(crate) execs: Execs,
    /// Processes that are being started: the container's first one, or execs.
    pub(crate) starting: Vec<Starting>,
    pub(crate) connections: u64,
    /// Connections that attached before the start of the container or of an exec. They miss no output.
    pub(crate) early: Vec<(Channel, Attach, Owner)>,
    pub(crate) abandoned: bool,
    /// How the container ended, while the state directory has no room for it. Until it is written, only this process knows it.
    pub(crate) unwritten: Option<Unwritten>,
    /// Something was started or has ended in this round, which used memory.
    pub(crate) busy: bool,
    /// When the memory that was used is released. `None`: it has been.
    pub(crate) release: Option<Instant>,
}

impl Shim {
    /// Creates the shim, and reports success or failure to the launcher.
    pub fn new(config: Config) -> Result<Shim> {
        let parts = Parts::make(&config);
        let mut control = Channel::new(config.control).map_err(|error| Failure::io(&error, "fcntl", None))?;
        match parts {
            Ok(Parts {
                namespaces,
                listener,
                signals,
            }) => {
                let (id, directory) = (config.id, config.directory);
                let mut shim = Shim {
                    id,
                    directory,
                    control: Some(control),
                    listener,
                    guests: Vec::new(),
                    signals,
                    namespaces,
                    container: None,
                    execs: Execs::default(),
                    starting: Vec::new(),
                    connections: 0,
                    early: Vec::new(),
                    abandoned: false,
                    unwritten: None,
                    busy: false,
                    release: None,
                };
                let state = shim.state();
                shim.send(&state);
                Ok(shim)
            }
            Err(failure) => {
                control.send(&FromShim::Failed {
                    seq: 0,
                    failure: failure.clone(),
                });
                Err(failure)
            }
        }
    }

    /// The sessions of the container and of its execs.
    pub(crate) fn sessions(&mut self) -> impl Iterator<Item = &mut Session> {
        let own = self.container.iter_mut().map(|container| &mut container.process.session);
        own.chain(self.execs.sessions())
    }

    /// Fails with `FailedPrecondition` if the container is not started yet, or has ended.
    pub(crate) fn running(&mut self) -> Result<&mut Container> {
        self.container
            .as_mut()
            .filter(|container| container.process.exited().is_none())
            .ok_or_else(not_running)
    }

    pub(crate) fn state(&self) -> FromShim {
        FromShim::State {
            shim: std::process::id() as i32,
            version: SHIM,
            netns: path(&self.namespaces.network),
            userns: path(&self.namespaces.user),
            pid: self.container.as_ref().map(|container| container.process.pid),
            exited: self.container.as_ref().and_then(|container| container.process.exited().cloned()),
            execs: self.execs.list(),
            past_execs: self.execs.past(),
        }
    }

    /// Sends an event to the launcher, if it is connected.
    pub(crate) fn send(&mut self, event: &FromShim) {
        if let Some(control) = &mut self.control {
            control.send(event);
        }
    }

    /// Queues an event, which is sent with the next one or at the end of the round.
    pub(crate) fn queue(&mut self, event: &FromShim) {
        if let Some(control) = &mut self.control {
            control.queue(event);
        }
    }
}

/// The path of a descriptor of this shim, which every process of the host can open.
fn path(descriptor: &Option<OwnedFd>) -> Option<String> {
    descriptor
        .as_ref()
        .map(|fd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()))
}
