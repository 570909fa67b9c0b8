//! A process with its stdio, the container's first one or an exec's, from its start until its end is reported.

use crate::session::Session;
use crate::sink::Owner;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::peer::protocol::{Exit, FromShim};
use tsbox_core::sys;

/// How long unrelated processes may keep the pipes of a dead process open before the shim stops reading them.
const DRAIN: Duration = Duration::from_secs(2);

/// The exit code that a shell reports for a program, docker's client for example, that SIGPIPE has ended.
const NO_READER: i32 = 128 + libc::SIGPIPE;

pub fn not_running() -> Failure {
    Failure::new(Code::FailedPrecondition, "the container is not running")
}

pub struct Process {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub session: Session,
    /// The client that gets the exit code directly from the shim.
    answered: Option<u32>,
    exited: Option<Exit>,
    /// When the drain timeout began: from then on only unrelated processes can keep the output open.
    since: Instant,
    reported: bool,
}

impl Process {
    pub fn new(pid: i32, pidfd: OwnedFd, session: Session, answered: Option<u32>) -> Process {
        Process {
            pid,
            pidfd,
            session,
            answered,
            exited: None,
            since: Instant::now(),
            reported: false,
        }
    }

    pub fn exit(&mut self, exit: Exit) {
        self.exited = Some(exit);
        self.since = Instant::now();
    }

    pub fn exited(&self) -> Option<&Exit> {
        self.exited.as_ref()
    }

    /// Whether the process has ended and its end is not reported yet. The drain timeout runs then.
    pub fn draining(&self) -> bool {
        self.exited.is_some() && !self.reported
    }

    pub fn is_reported(&self) -> bool {
        self.reported
    }

    /// Returns the exit once, when all output is read.
    pub fn ended(&mut self) -> Option<Exit> {
        self.session.tidy();
        let exit = self.exited.clone().filter(|_| !self.reported)?;
        if self.session.held_up() {
            // The last output is still in the pipe and waits for a slow reader.
            self.since = Instant::now();
        } else if self.since.elapsed() > DRAIN {
            self.session.give_up();
        }
        if !self.session.ended() {
            return None;
        }
        self.session.finish();
        self.reported = true;
        Some(exit)
    }

    /// The clients whose output has arrived completely, once the end is reported; and at any time the clients whose reader is gone, with
    /// their exit code.
    pub fn flushed(&mut self) -> Vec<FromShim> {
        let client = |owner: Owner| match owner {
            Owner::Client(client) => Some(client),
            Owner::Connection(_) => None,
        };
        let broken = self.session.broken().into_iter().filter_map(client);
        let mut flushed: Vec<FromShim> = broken
            .map(|client| FromShim::Flushed {
                client,
                code: Some(NO_READER),
            })
            .collect();
        if self.reported {
            let code = |client| self.exited.as_ref().filter(|_| self.answered == Some(client)).map(|exit| exit.code);
            let owners = self.session.flushed().into_iter().filter_map(client);
            flushed.extend(owners.map(|client| FromShim::Flushed {
                client,
                code: code(client),
            }));
        }
        flushed
    }

    /// `FailedPrecondition`: it has ended, and another runtime's monitor has reaped it, before this shim has seen that.
    pub fn signal(&self, signal: i32) -> Result<()> {
        sys::process::signal(self.pidfd.as_fd(), signal).map_err(|failure| match failure.errno {
            Some(libc::ESRCH) => not_running(),
            _ => failure,
        })
    }
}
