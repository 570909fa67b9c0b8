//! A process with its stdio, the container's first one or an exec's, from its start until its end is told.

use crate::session::Session;
use crate::sink::Owner;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use tsbox_core::failure::Result;
use tsbox_core::peer::protocol::{Exit, FromShim};
use tsbox_core::sys;

/// How long the ends of a dead process's pipes may be held open by strangers before they are given up.
const DRAIN: Duration = Duration::from_secs(2);

/// What a shell sees of a program that SIGPIPE has ended, docker's client for one.
const NO_READER: i32 = 128 + libc::SIGPIPE;

pub struct Process {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub session: Session,
    /// The client that gets its exit code from here.
    answered: Option<u32>,
    exited: Option<Exit>,
    /// Since when nothing but strangers could keep its output open.
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

    /// It has ended, which is not told yet: time counts.
    pub fn draining(&self) -> bool {
        self.exited.is_some() && !self.reported
    }

    pub fn is_reported(&self) -> bool {
        self.reported
    }

    /// How it ended, once: when all that it wrote is read.
    pub fn ended(&mut self) -> Option<Exit> {
        self.session.tidy();
        let exit = self.exited.clone().filter(|_| !self.reported)?;
        if self.session.held_up() {
            // What it wrote last is still in the pipe: it waits for a reader.
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

    /// Whose output has arrived whole, once its end is told; and at any time those who have no reader any more, with their exit code.
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

    pub fn signal(&self, signal: i32) -> Result<()> {
        sys::process::signal(self.pidfd.as_fd(), signal)
    }
}
