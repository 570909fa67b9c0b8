//! A start in progress: the caller's side of the conversation in `channel`. It never blocks, so that the caller can serve others meanwhile:
//! the new process may read from a hung file system, or be stopped by the container that it joins.

use crate::channel::{Channel, Message};
use crate::clock::Clock;
use crate::hooks;
use crate::process;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};
use tsbox_core::container::namespaces::{self, Forked};
use tsbox_core::container::spec::{Hook, Spec};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::id_maps::IdMaps;
use tsbox_core::sys;

/// A process that has executed its command.
#[derive(Debug)]
pub struct Launched {
    /// A child of the caller; the pid is the one in the caller's pid namespace.
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub console: Option<OwnedFd>,
    pub warnings: Vec<String>,
    /// The duration of each stage in milliseconds, in order.
    pub timings: Vec<(String, f64)>,
    /// The process waits at its gate and has executed nothing yet.
    pub waits: bool,
    /// The mount namespace of a container's first process, if the caller wants to hold it ([`crate::Launching::hold_mounts`]).
    pub mounts: Option<OwnedFd>,
}

pub struct Pending {
    channel: Channel,
    /// The process that becomes the container's: first the forked one, then each process that is forked from it.
    child: (i32, OwnedFd),
    /// Processes that forked the next one, or run hooks for it, and end by themselves.
    makers: Vec<OwnedFd>,
    /// How many processes are still to be forked from one another.
    births: u32,
    console: Option<OwnedFd>,
    pub(crate) warnings: Vec<String>,
    clock: Clock,
    executing: bool,
    ready: bool,
    /// The message for a process that was killed before it executed its command.
    killed: &'static str,
    pub(crate) id_maps: Option<IdMaps>,
    pub(crate) hooks: Option<EarlyHooks>,
    pub(crate) holds_mounts: bool,
    mounts: Option<OwnedFd>,
}

/// The hooks that the caller runs once the mounts are made.
pub(crate) struct EarlyHooks {
    pub prestart: Vec<Hook>,
    pub create_runtime: Vec<Hook>,
    pub spec: Spec,
    pub id: String,
    pub bundle: String,
}

impl Pending {
    pub(crate) fn new(channel: Channel, child: (i32, OwnedFd), births: u32, clock: Clock, killed: &'static str) -> Pending {
        Pending {
            channel,
            child,
            makers: Vec::new(),
            births,
            console: None,
            warnings: Vec::new(),
            clock,
            executing: false,
            ready: false,
            killed,
            id_maps: None,
            hooks: None,
            holds_mounts: false,
            mounts: None,
        }
    }

    /// Readable when [`Pending::advance`] has work to do.
    pub fn fd(&self) -> RawFd {
        self.channel.fd()
    }

    /// Handles the messages that have arrived. None: the process does not run yet. After a failure the caller calls [`Pending::kill`].
    pub fn advance(&mut self) -> Result<Option<Launched>> {
        while let Some(packet) = self.channel.poll()? {
            if let Some(launched) = self.receive(packet)? {
                return Ok(Some(launched));
            }
        }
        Ok(None)
    }

    /// Blocks until the process runs. A failure leaves no process behind.
    pub fn wait(mut self) -> Result<Launched> {
        loop {
            self.channel.await_readable(Duration::MAX);
            match self.advance() {
                Ok(Some(launched)) => {
                    for maker in &self.makers {
                        sys::process::await_end(maker.as_fd(), Duration::from_secs(10));
                        sys::process::reap_by(maker.as_fd());
                    }
                    return Ok(launched);
                }
                Ok(None) => {}
                Err(failure) => {
                    self.kill();
                    self.reap(Duration::from_secs(10));
                    return Err(failure);
                }
            }
        }
    }

    /// Kills all processes of this start. The caller must reap them.
    pub fn kill(&self) {
        for pidfd in self.makers.iter().chain([&self.child.1]) {
            // It may be dead already.
            let _ = sys::process::signal(pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// Waits for the killed processes. A process that sleeps in a hung file system is left to the code that reaps the caller's children.
    pub fn reap(&self, timeout: Duration) {
        let end = Instant::now() + timeout;
        for pidfd in self.makers.iter().chain([&self.child.1]) {
            if sys::process::await_end(pidfd.as_fd(), end.saturating_duration_since(Instant::now())) {
                sys::process::reap_by(pidfd.as_fd());
            }
        }
    }

    fn receive(&mut self, packet: Option<(Message, Option<OwnedFd>)>) -> Result<Option<Launched>> {
        match packet {
            Some((Message::Unmapped, _)) => {
                let unasked = || Failure::new(Code::Internal, "a user namespace that nobody asked for");
                let maps = self.id_maps.as_ref().ok_or_else(unasked)?;
                namespaces::write_maps(self.child.0, &maps.uids, &maps.gids).map_err(|failure| failure.at("user namespace"))?;
                self.channel.send(&Message::GoOn)?;
            }
            Some((Message::Forked(pid), pidfd)) => {
                // The process is a child of ours, so its pid stays valid until it is reaped.
                let pidfd = pidfd.map_or_else(|| sys::process::open(pid), Ok)?;
                let maker = std::mem::replace(&mut self.child, (pid, pidfd));
                self.makers.push(maker.1);
                self.births = self.births.saturating_sub(1);
                self.clock.lap("clone");
            }
            Some((Message::Console, console)) => self.console = console,
            Some((Message::Mounted, _)) => match self.hooks.take() {
                Some(hooks) => self.run(&hooks)?,
                None => self.channel.send(&Message::GoOn)?,
            },
            Some((Message::Ready { warnings }, _)) => {
                self.warnings.extend(warnings);
                self.ready = true;
            }
            Some((Message::Executing { warnings, timings }, _)) => {
                self.warnings.extend(warnings);
                self.clock.laps.extend(timings);
                self.clock.reset();
                self.executing = true;
                if self.holds_mounts {
                    // A process that is dead already has no namespace to hold.
                    self.mounts = sys::open(&format!("/proc/{}/ns/mnt", self.child.0), libc::O_RDONLY).ok();
                }
            }
            Some((Message::Failed(failure), _)) => return Err(failure),
            Some((Message::GoOn, _)) => return Err(Failure::new(Code::Internal, "unexpected message")),
            None if self.executing && self.births == 0 => {
                self.clock.lap("exec");
                return self.launched().map(Some);
            }
            None => return Err(Failure::new(Code::FailedPrecondition, self.killed).at("init")),
        }
        if self.ready && self.births == 0 {
            return self.launched().map(Some);
        }
        Ok(None)
    }

    fn launched(&mut self) -> Result<Launched> {
        let pidfd = self.child.1.try_clone().map_err(|error| Failure::io(&error, "dup", None))?;
        Ok(Launched {
            pid: self.child.0,
            pidfd,
            console: self.console.take(),
            warnings: std::mem::take(&mut self.warnings),
            timings: std::mem::take(&mut self.clock.laps),
            waits: self.ready,
            mounts: self.mounts.take(),
        })
    }

    /// Runs the hooks in a separate process, which sends the answer itself: a hook may take any time.
    fn run(&mut self, wanted: &EarlyHooks) -> Result<()> {
        if let Forked::Parent { pidfd, .. } = namespaces::fork(0, None, false)? {
            self.makers.push(pidfd);
            return Ok(());
        }
        let _ = process::begin(c"tsbox:[hooks]");
        let state = hooks::State::new(&wanted.spec, &wanted.id, "creating", self.child.0, &wanted.bundle);
        let done =
            hooks::run("prestart", &wanted.prestart, &state).and_then(|()| hooks::run("createRuntime", &wanted.create_runtime, &state));
        let sent = self.channel.send(&match done {
            Ok(()) => Message::GoOn,
            Err(failure) => Message::Failed(failure),
        });
        process::leave(i32::from(sent.is_err()))
    }
}
