//! The shim's loop: one thread, one poll set, all descriptors non-blocking.

use crate::adopted::Adopted;
use crate::channel::Channel;
use crate::memory;
use crate::session::{Part, SessionEvent};
use crate::shim::Shim;
use crate::sink::Owner;
use crate::status::Unwritten;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};
use tsbox_core::container::cgroup::MemoryWatch;
use tsbox_core::failure::{Code, Failure};
use tsbox_core::peer::protocol::FromShim;
use tsbox_core::sys::poll::{self, Ready};

/// Milliseconds until a failed write is tried again.
const RETRY: i32 = 1000;
/// The time until the memory of a launch or of an exec is released. Nothing waits for the release, and the next exec may follow at once.
const KEEP: Duration = Duration::from_millis(100);
/// Milliseconds between two checks of a process that has ended and whose output other processes may hold open.
const DRAIN: i32 = 100;

#[derive(Clone, Copy)]
enum Polled {
    Control,
    Listener,
    Signals,
    Guest(usize),
    Early(usize),
    Memory,
    Adopted,
    Starting,
    Session(Part),
    Exec(usize, Part),
}

impl Shim {
    /// Serves until the container has ended and its end is reported.
    pub fn serve(mut self) -> i32 {
        let mut set: Vec<libc::pollfd> = Vec::new();
        let mut parts: Vec<Polled> = Vec::new();
        while !self.finished() {
            self.fill(&mut set, &mut parts);
            let timeout = self.timeout();
            let Ok(ready) = poll::wait(&mut set, timeout) else { return 1 };
            // In reverse order, so that the removal of an entry does not move those before it.
            for at in (0..set.len()).rev().filter(|_| ready.some()) {
                if set[at].revents != 0 {
                    self.ready(parts[at]);
                }
            }
            self.advance();
            self.look_at_adopted();
            if ready == Ready::TimedOut && self.unwritten.as_ref().is_some_and(Unwritten::try_again) {
                self.unwritten = None;
            }
            self.settle();
            self.slim();
        }
        // Only an abandoned shim has starts left. Its launcher waits for the end of this connection.
        for start in std::mem::take(&mut self.starting) {
            let failure = Failure::new(Code::FailedPrecondition, "the start was given up").at("hold");
            self.send(&FromShim::Failed { seq: start.seq, failure });
            start.abandon();
        }
        0
    }

    fn timeout(&self) -> i32 {
        let starts = self.starting.iter().map(|start| start.left());
        let adopted = self.container.as_ref().filter(|container| container.process.exited().is_none());
        let adopted = adopted.and_then(|container| container.adopted.as_ref()?.left());
        let release = self.release.map(|due| due.saturating_duration_since(Instant::now()));
        timeout(starts.chain(release).chain(adopted), self.draining(), self.unwritten.is_some())
    }

    /// Returns the memory of a launch or an exec to the kernel. A shim does little while its container runs, and there may be thousands of
    /// shims.
    fn slim(&mut self) {
        if std::mem::take(&mut self.busy) {
            self.release = Some(Instant::now() + KEEP);
        }
        if self.release.is_some_and(|due| due <= Instant::now()) {
            self.release = None;
            memory::give_back();
        }
    }

    fn fill(&self, set: &mut Vec<libc::pollfd>, parts: &mut Vec<Polled>) {
        set.clear();
        parts.clear();
        let mut each = |part: Polled, fd: RawFd, events: i16| {
            set.push(libc::pollfd { fd, events, revents: 0 });
            parts.push(part);
        };
        each(Polled::Signals, self.signals.as_raw_fd(), libc::POLLIN);
        each(Polled::Listener, self.listener.as_raw_fd(), libc::POLLIN);
        if let Some(control) = &self.control {
            each(Polled::Control, control.fd(), control.events());
        }
        for (at, guest) in self.guests.iter().enumerate() {
            each(Polled::Guest(at), guest.fd(), guest.events());
        }
        for (at, (guest, ..)) in self.early.iter().enumerate() {
            // The first bytes of these connections belong to the process. poll(2) reports a hang-up without being asked.
            each(Polled::Early(at), guest.fd(), 0);
        }
        if let Some(container) = &self.container {
            if let Some(memory) = &container.memory {
                each(Polled::Memory, memory.fd(), memory.events());
            }
            if container.adopted.as_ref().is_some_and(Adopted::lives) {
                each(Polled::Adopted, container.process.pidfd.as_raw_fd(), libc::POLLIN);
            }
            let session = &container.process.session;
            session.poll(&mut |part, fd, events| each(Polled::Session(part), fd, events));
        }
        for start in &self.starting {
            each(Polled::Starting, start.fd(), libc::POLLIN);
        }
        self.execs
            .poll(&mut |at, part, fd, events| each(Polled::Exec(at, part), fd, events));
    }

    fn ready(&mut self, part: Polled) {
        match part {
            Polled::Signals => self.reap(),
            Polled::Listener => {
                if let Ok((stream, _)) = self.listener.accept() {
                    self.guests.extend(Channel::new(stream.into()));
                }
            }
            Polled::Control => self.receive(),
            Polled::Guest(at) => self.welcome(at),
            Polled::Early(at) => drop(self.early.remove(at)),
            Polled::Memory => self.out_of_memory(),
            Polled::Adopted => {
                if let Some(adopted) = self.container.as_mut().and_then(|container| container.adopted.as_mut()) {
                    adopted.has_ended();
                }
            }
            // `advance` checks all of them once per round, since a deadline has no descriptor.
            Polled::Starting => {}
            Polled::Session(part) => {
                let event = self.container.as_mut().and_then(|container| container.process.session.ready(part));
                self.detached(event);
            }
            Polled::Exec(at, part) => {
                let event = self.execs.session(at).and_then(|session| session.ready(part));
                self.detached(event);
            }
        }
    }

    fn out_of_memory(&mut self) {
        let Some(container) = &mut self.container else { return };
        if container.memory.as_mut().is_some_and(MemoryWatch::ran_out) {
            self.send(&FromShim::OutOfMemory);
        }
    }

    fn detached(&mut self, event: Option<SessionEvent>) {
        if let Some(SessionEvent::Detached(Owner::Client(client))) = event {
            self.send(&FromShim::Detached { client });
        }
    }
}

/// How long poll(2) may wait for an event, in milliseconds; -1: without a limit. `due`: the time that is left to each start,
/// and until memory is released. `draining`: a process has ended, and its output is not read to the end. `retrying`: an exit status must be
/// written again.
fn timeout(due: impl Iterator<Item = Duration>, draining: bool, retrying: bool) -> i32 {
    // Plus one, since a part of a millisecond is rounded up.
    let due = due.map(|left| left.as_millis().min(60_000) as i32 + 1);
    let drain = draining.then_some(DRAIN);
    let retry = retrying.then_some(RETRY);
    due.chain(drain).chain(retry).min().unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_wakes_for_what_is_due_first() {
        let none = || std::iter::empty();
        assert_eq!(timeout(none(), false, false), -1);
        assert_eq!(timeout(none(), false, true), RETRY);
        assert_eq!(timeout(none(), true, true), DRAIN);
        let starts = || [Duration::from_secs(10), Duration::from_millis(40)].into_iter();
        assert_eq!(timeout(starts(), true, true), 41);
        assert_eq!(timeout(starts(), false, false), 41);
        // A deadline in the past does not make the loop spin, and a far one fits an int.
        assert_eq!(timeout([Duration::ZERO].into_iter(), false, false), 1);
        assert_eq!(timeout([Duration::MAX].into_iter(), false, false), 60_001);
    }
}
