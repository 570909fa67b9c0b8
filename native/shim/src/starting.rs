//! Starts in progress, of the container or of execs, as states of the shim's poll set. A new process reads from the container, which may be
//! slow, hung or hostile (a fifo in place of passwd, a lease on the program, a stop signal). The shim serves all others meanwhile, and
//! cancels the start after a deadline.

use crate::adopted::Adopted;
use crate::client::Client;
use crate::pipes::Pipes;
use crate::session::Session;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys;
use tsbox_runtime::{Cgroup, Launched, Launching, Pending};

/// An exec waits only for the file of its command.
const EXEC_TIMEOUT: Duration = Duration::from_secs(10);
/// A start waits for its mounts, its hooks, and until the daemon releases it. The daemon's own deadline is shorter.
const START_TIMEOUT: Duration = Duration::from_secs(150);
/// How long the processes of a canceled start may take to die. A process that hangs in a file system is left behind.
const DEATH_TIMEOUT: Duration = Duration::from_secs(2);

pub enum NewProcess {
    /// A process with its own root file system; for a container also with a cgroup that was made for it.
    Launching(Launching),
    /// A process that joins the container.
    Joining(Pending),
}

/// What the new process is.
pub enum Target {
    Container,
    /// `answered`: the client that gets the exit code directly from the shim.
    Exec {
        id: String,
        answered: Option<u32>,
    },
}

pub struct Starting {
    pub seq: u32,
    pub target: Target,
    process: NewProcess,
    session: Session,
    pipes: Option<Pipes>,
    stdin: bool,
    client: Option<Client>,
    fds: Vec<OwnedFd>,
    begun: Instant,
    timeout: Duration,
}

/// The daemon's request.
pub struct Wanted {
    pub seq: u32,
    pub target: Target,
    pub stdin: bool,
    pub client: Option<Client>,
}

/// A start that has begun: the conversation with the new process, and what will carry its stdio.
pub struct Begun {
    pub process: NewProcess,
    pub session: Session,
    pub pipes: Option<Pipes>,
    pub since: Instant,
}

/// A completed start.
pub struct Ready {
    pub seq: u32,
    pub target: Target,
    pub launched: Launched,
    pub session: Session,
    /// Set for a process with its own root file system.
    pub cgroup: Option<Cgroup>,
    /// Set for a process that is not the shim's child.
    pub adopted: Option<Adopted>,
    pub client: Option<Client>,
    pub fds: Vec<OwnedFd>,
}

impl Starting {
    /// `fds`: the client's standard streams.
    pub fn new(wanted: Wanted, begun: Begun, fds: Vec<OwnedFd>) -> Starting {
        Starting {
            seq: wanted.seq,
            timeout: match wanted.target {
                Target::Container => START_TIMEOUT,
                Target::Exec { .. } => EXEC_TIMEOUT,
            },
            target: wanted.target,
            process: begun.process,
            session: begun.session,
            pipes: begun.pipes,
            stdin: wanted.stdin,
            client: wanted.client,
            fds,
            begun: begun.since,
        }
    }

    pub fn is_container(&self) -> bool {
        matches!(self.target, Target::Container)
    }

    /// The exec's id; None: the container's first process.
    pub fn exec_id(&self) -> Option<&str> {
        match &self.target {
            Target::Container => None,
            Target::Exec { id, .. } => Some(id),
        }
    }

    /// Forgets a client that is gone. Its process is started nonetheless.
    pub fn lose(&mut self, client: u32) {
        if self.client.as_ref().is_some_and(|one| one.client == client) {
            self.client = None;
            self.fds.clear();
        }
    }

    pub fn fd(&self) -> RawFd {
        match &self.process {
            NewProcess::Launching(launching) => launching.fd(),
            NewProcess::Joining(pending) => pending.fd(),
        }
    }

    pub fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.begun.elapsed())
    }

    /// None: the start is still in progress. After a failure the caller calls [`Starting::abandon`].
    pub fn advance(&mut self) -> Result<Option<Launched>> {
        let advanced = match &mut self.process {
            NewProcess::Launching(launching) => launching.advance()?,
            NewProcess::Joining(pending) => pending.advance()?,
        };
        if advanced.is_none() && self.left().is_zero() {
            let what = format!(
                "the process did not start within {} s: something in the container holds it up, its file system or its other processes",
                self.timeout.as_secs()
            );
            return Err(Failure::new(Code::DeadlineExceeded, what));
        }
        Ok(advanced)
    }

    /// Completes a start with the result of [`Starting::advance`]. Kills the process if its output can't be read.
    pub fn finish(self, mut launched: Launched) -> Result<Ready> {
        let mut session = self.session;
        if let Err(error) = Pipes::join(&mut session, self.pipes, launched.console.take(), self.stdin) {
            let _ = sys::process::signal(launched.pidfd.as_fd(), libc::SIGKILL);
            return Err(Failure::io(&error, "stdio", None));
        }
        let by_commands = matches!(&self.process, NewProcess::Launching(launching) if launching.is_by_commands());
        let adopted = by_commands.then(|| Adopted::of(launched.pidfd.as_fd())).flatten();
        launched
            .timings
            .push(("all".to_owned(), self.begun.elapsed().as_secs_f64() * 1000.0));
        Ok(Ready {
            seq: self.seq,
            target: self.target,
            launched,
            session,
            cgroup: match self.process {
                NewProcess::Launching(launching) => Some(launching.into_cgroup()),
                NewProcess::Joining(_) => None,
            },
            adopted,
            client: self.client,
            fds: self.fds,
        })
    }

    /// Kills the new processes. [`Starting::advance`] notices their end.
    pub fn kill(&self) {
        match &self.process {
            NewProcess::Launching(launching) => launching.kill(),
            NewProcess::Joining(pending) => pending.kill(),
        }
    }

    /// Kills the new processes. An exec's are reaped with all other children. For a container's this waits, since the shim ends with them.
    pub fn abandon(self) {
        match self.process {
            NewProcess::Launching(launching) => launching.abandon(if matches!(self.target, Target::Container) {
                DEATH_TIMEOUT
            } else {
                Duration::ZERO
            }),
            NewProcess::Joining(pending) => pending.kill(),
        }
    }
}
