//! The shim's loop: one thread, one poll set, everything non-blocking.

use crate::birth::Parts;
use crate::channel::Channel;
use crate::client::Client;
use crate::exec::{self, Execs, not_running};
use crate::launch::{self, Start};
use crate::namespaces::Namespaces;
use crate::process::Process;
use crate::session::{Part, Session, Told};
use crate::sink::Owner;
use crate::starting::{Ready, Starting, Target};
use crate::status::{self, Unwritten};
use crate::{Config, memory};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use tsbox_core::container::cgroup::MemoryWatch;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::peer::protocol::{Attach, FromShim, SHIM, ToShim, shim};
use tsbox_core::peer::wire::Frame;
use tsbox_runtime::{Born, Cgroup, told_by_end};

/// Milliseconds until a write that failed is tried again.
const RETRY: i32 = 1000;

/// The container: its first process and what is around it.
struct Container {
    process: Process,
    cgroup: Cgroup,
    paused: bool,
    memory: Option<MemoryWatch>,
    /// Held until this process ends, after everybody has been told of the container's end.
    _mounts: Option<OwnedFd>,
}

pub struct Shim {
    id: String,
    directory: PathBuf,
    control: Option<Channel>,
    listener: UnixListener,
    /// Connections that have not said yet what they are for.
    guests: Vec<Channel>,
    signals: OwnedFd,
    namespaces: Namespaces,
    container: Option<Container>,
    execs: Execs,
    /// Processes that are being started: the container's own, or execs.
    starting: Vec<Starting>,
    connections: u64,
    /// Those who attached before the start, of the container or of an exec: they miss nothing.
    early: Vec<(Channel, Attach, Owner)>,
    abandoned: bool,
    /// How the container ended, for as long as the state directory has no room for it: then this process is the one that knows.
    unwritten: Option<Unwritten>,
    /// In this round something was started or has ended, and took memory for it.
    busy: bool,
}

#[derive(Clone, Copy)]
enum Polled {
    Control,
    Listener,
    Signals,
    Guest(usize),
    Early(usize),
    Memory,
    Starting,
    Session(Part),
    Exec(usize, Part),
}

impl Shim {
    /// Tells the launcher how it went, either way.
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
                };
                let state = shim.state();
                shim.tell(&state);
                Ok(shim)
            }
            Err(failure) => {
                control.tell(&FromShim::Failed {
                    seq: 0,
                    failure: failure.clone(),
                });
                Err(failure)
            }
        }
    }

    /// Until the container has ended and everybody has been told.
    pub fn serve(mut self) -> i32 {
        let mut set: Vec<libc::pollfd> = Vec::new();
        let mut parts: Vec<Polled> = Vec::new();
        while !self.finished() {
            self.fill(&mut set, &mut parts);
            let timeout = self.timeout();
            // SAFETY: a slice of pollfds.
            let ready = unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, timeout) };
            if ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return 1;
            }
            // Backwards, so that a part that goes leaves the positions of those before it alone.
            for at in (0..set.len()).rev().filter(|_| ready > 0) {
                if set[at].revents != 0 {
                    self.ready(parts[at]);
                }
            }
            self.advance();
            if ready == 0 && self.unwritten.as_ref().is_some_and(Unwritten::try_again) {
                self.unwritten = None;
            }
            self.settle();
            self.slim();
        }
        // Only who was abandoned has some: its launcher waits for the end of this connection.
        for start in std::mem::take(&mut self.starting) {
            let failure = Failure::new(Code::FailedPrecondition, "the start was given up").at("hold");
            self.tell(&FromShim::Failed { seq: start.seq, failure });
            start.abandon();
        }
        0
    }

    /// Milliseconds until something is due without anybody's word; -1: nothing is.
    fn timeout(&self) -> i32 {
        let drain = self.draining().then_some(100);
        let starts = self.starting.iter().map(|start| start.left().as_millis().min(60_000) as i32 + 1);
        let retry = self.unwritten.is_some().then_some(RETRY);
        starts.chain(drain).chain(retry).min().unwrap_or(-1)
    }

    /// Once the container runs, what the launch took goes back to the kernel: a shim does little from here on, and there may be thousands.
    /// So does what an exec took.
    fn slim(&mut self) {
        if std::mem::take(&mut self.busy) {
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
            // Their first bytes are for the process; that they hang up is told without asking.
            each(Polled::Early(at), guest.fd(), 0);
        }
        if let Some(container) = &self.container {
            if let Some(memory) = &container.memory {
                each(Polled::Memory, memory.fd(), memory.events());
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
            Polled::Control => self.hear(),
            Polled::Guest(at) => self.welcome(at),
            Polled::Early(at) => drop(self.early.remove(at)),
            Polled::Memory => self.out_of_memory(),
            // Looked at once a round, since a deadline has no descriptor.
            Polled::Starting => {}
            Polled::Session(part) => {
                let told = self.container.as_mut().and_then(|container| container.process.session.ready(part));
                self.detached(told);
            }
            Polled::Exec(at, part) => {
                let told = self.execs.session(at).and_then(|session| session.ready(part));
                self.detached(told);
            }
        }
    }

    fn out_of_memory(&mut self) {
        let Some(container) = &mut self.container else { return };
        if container.memory.as_mut().is_some_and(MemoryWatch::ran_out) {
            self.tell(&FromShim::OutOfMemory);
        }
    }

    fn detached(&mut self, told: Option<Told>) {
        if let Some(Told::Detached(Owner::Client(client))) = told {
            self.tell(&FromShim::Detached { client });
        }
    }

    /// Words of the launcher.
    fn hear(&mut self) {
        let Some(control) = &mut self.control else { return };
        control.flush();
        match control.receive() {
            Ok(frames) => frames.into_iter().for_each(|frame| self.obey(frame)),
            // The launcher is dead: its successor connects. A shim that holds nothing yet is of use to nobody.
            Err(_) => {
                self.control = None;
                // What is being started is given up by the launcher's end, which holds it.
                self.abandoned = self.container.is_none();
                self.sessions().for_each(Session::lose_clients);
            }
        }
    }

    fn obey(&mut self, frame: Frame) {
        if frame.kind == shim::START {
            match serde_json::from_slice::<Start>(&frame.payload) {
                Ok(start) => self.start(start, frame.fds),
                Err(error) => self.tell(&FromShim::Failed {
                    seq: 0,
                    failure: Failure::new(Code::InvalidArgument, format!("the launch is not one: {error}")),
                }),
            }
            return;
        }
        if frame.kind == shim::EXEC {
            match serde_json::from_slice::<exec::Start>(&frame.payload) {
                Ok(start) => self.exec(start, frame.fds),
                Err(error) => self.tell(&FromShim::Failed {
                    seq: seq_of(&frame.payload),
                    failure: Failure::new(Code::InvalidArgument, format!("the exec is not one: {error}")),
                }),
            }
            return;
        }
        let Ok(message) = serde_json::from_slice::<ToShim>(&frame.payload) else {
            return;
        };
        let answer = |result: Result<()>, seq: u32| match result {
            Ok(()) => FromShim::Done { seq },
            Err(failure) => FromShim::Failed { seq, failure },
        };
        match message {
            ToShim::Abandon => self.abandoned = self.container.is_none(),
            ToShim::Signal { seq, signal, all } => {
                let result = self.signal(signal, all);
                self.tell(&answer(result, seq));
            }
            ToShim::Pause { seq } => {
                let result = self.pause(true);
                self.tell(&answer(result, seq));
            }
            ToShim::Resume { seq } => {
                let result = self.pause(false);
                self.tell(&answer(result, seq));
            }
            ToShim::Resize { rows, columns } => {
                if let Some(container) = &self.container {
                    container.process.session.resize(rows, columns);
                }
            }
            ToShim::ResizeExec { exec, rows, columns } => {
                if let Ok(exec) = self.execs.get(&exec) {
                    exec.process.session.resize(rows, columns);
                }
            }
            ToShim::SignalExec { seq, exec, signal } => {
                let result = self.signal_exec(&exec, signal);
                self.tell(&answer(result, seq));
            }
            ToShim::Join {
                seq,
                client,
                stdin,
                stdout,
                stderr,
                detach_keys,
            } => {
                let client = Client {
                    client,
                    stdin,
                    stdout,
                    stderr,
                    detach_keys,
                    answer: false,
                };
                let joined = self
                    .running()
                    .map(|container| join(&mut container.process.session, &client, frame.fds));
                self.tell(&answer(joined, seq));
            }
            ToShim::Leave { client } => {
                self.sessions().for_each(|session| session.lose(Owner::Client(client)));
                self.starting.iter_mut().for_each(|start| start.lose(client));
            }
            // A new daemon of the same launcher asks how things stand.
            ToShim::Control => {
                let state = self.state();
                self.tell(&state);
            }
            ToShim::Attach(_) => {}
        }
    }

    fn start(&mut self, mut start: Start, mut fds: Vec<OwnedFd>) {
        start.expose();
        let without = || Failure::new(Code::InvalidArgument, "the start came without what holds it");
        let twice = self.container.is_some() || self.starting.iter().any(Starting::is_container);
        let begun = fds.pop().ok_or_else(without).and_then(|hold| match twice {
            true => Err(Failure::new(Code::FailedPrecondition, "the container is started already")),
            false => launch::begin(&self.id, &start, &hold),
        });
        match begun {
            Ok(begun) => self.starting.push(start.starting(begun, fds)),
            Err(failure) => {
                self.tell(&FromShim::Failed { seq: start.seq, failure });
                self.abandoned |= !twice;
            }
        }
    }

    fn exec(&mut self, mut start: exec::Start, fds: Vec<OwnedFd>) {
        start.expose();
        self.busy = true;
        let begun = self
            .running()
            .and_then(|container| exec::begin(&start, &container.process, &container.cgroup));
        match begun {
            Ok(begun) => self.starting.push(start.starting(begun, fds)),
            Err(failure) => {
                self.early.retain(|(_, attach, _)| attach.exec.as_deref() != Some(&start.exec));
                self.tell(&FromShim::Failed { seq: start.seq, failure });
            }
        }
    }

    /// Looks how those that are being started stand.
    fn advance(&mut self) {
        let mut settled = false;
        for at in (0..self.starting.len()).rev() {
            let advanced = match self.starting[at].advance() {
                Ok(None) => continue,
                advanced => advanced,
            };
            let start = self.starting.remove(at);
            settled = true;
            let (seq, is_container) = (start.seq, start.is_container());
            match advanced {
                Ok(Some(born)) => match start.finish(born) {
                    Ok(ready) => self.started(ready),
                    Err(failure) => {
                        self.abandoned |= is_container;
                        self.tell(&FromShim::Failed { seq, failure });
                    }
                },
                Ok(None) => {}
                Err(failure) => self.failed(start, failure),
            }
        }
        if settled {
            self.busy = true;
            if self.starting.is_empty() {
                self.starting = Vec::new();
            }
            // Some may be dead already: their SIGCHLD came when nobody knew their pid.
            self.reap();
        }
    }

    fn failed(&mut self, start: Starting, failure: Failure) {
        let failure = match (&self.container, start.is_container()) {
            (Some(container), false) => told_by_end(failure, container.process.pid, container.process.pidfd.as_fd()),
            _ => failure,
        };
        let seq = start.seq;
        match start.exec_id().map(str::to_owned) {
            Some(id) => self.early.retain(|(_, attach, _)| attach.exec.as_deref() != Some(&id)),
            None => self.abandoned = true,
        }
        start.abandon();
        self.tell(&FromShim::Failed { seq, failure });
    }

    fn started(&mut self, ready: Ready) {
        let Ready {
            seq,
            target,
            born,
            mut session,
            cgroup,
            client,
            fds,
        } = ready;
        if let Some(client) = &client {
            join(&mut session, client, fds);
        }
        let Born {
            pid,
            pidfd,
            warnings,
            timings,
            mounts,
            ..
        } = born;
        match target {
            Target::Container => {
                let Some(cgroup) = cgroup else { return };
                self.join_early(None, &mut session);
                self.container = Some(Container {
                    process: Process::new(pid, pidfd, session, None),
                    memory: None,
                    cgroup,
                    paused: false,
                    _mounts: mounts,
                });
                self.tell(&FromShim::Started {
                    seq,
                    pid,
                    warnings,
                    timings,
                });
                if let Some(container) = &mut self.container {
                    container.memory = container.cgroup.watch_memory();
                }
            }
            Target::Exec { id, answered } => {
                self.join_early(Some(&id), &mut session);
                self.execs.add(exec::Exec {
                    id,
                    process: Process::new(pid, pidfd, session, answered),
                });
                self.tell(&FromShim::ExecStarted {
                    seq,
                    pid,
                    warnings,
                    timings,
                });
            }
        }
    }

    /// Those who came before the process, which is the container's own or an exec's.
    fn join_early(&mut self, exec: Option<&str>, session: &mut Session) {
        let (now, later) = self.early.drain(..).partition(|(_, attach, _)| attach.exec.as_deref() == exec);
        self.early = later;
        for (guest, attach, owner) in Vec::from_iter::<Vec<_>>(now) {
            join_guest(session, guest, &attach, owner);
        }
    }

    fn sessions(&mut self) -> impl Iterator<Item = &mut Session> {
        let own = self.container.iter_mut().map(|container| &mut container.process.session);
        own.chain(self.execs.sessions())
    }

    fn running(&mut self) -> Result<&mut Container> {
        self.container
            .as_mut()
            .filter(|container| container.process.exited().is_none())
            .ok_or_else(not_running)
    }

    fn signal(&mut self, signal: i32, all: bool) -> Result<()> {
        let container = self.running()?;
        if all {
            container.cgroup.kill_all(signal)?;
        } else {
            container.process.signal(signal)?;
        }
        // On cgroup v1 even SIGKILL waits until a frozen group is thawed.
        if signal == libc::SIGKILL && container.paused {
            container.paused = false;
            container.cgroup.thaw()?;
        }
        Ok(())
    }

    /// Who asks for a deadline means what the process has started, too: it leads a group of its own.
    fn signal_exec(&mut self, id: &str, signal: i32) -> Result<()> {
        let process = &self.execs.get(id)?.process;
        if process.exited().is_none() {
            process.signal(signal)?;
            // SAFETY: plain numbers; a child of ours that is not reaped keeps its number.
            unsafe { libc::kill(-process.pid, signal) };
        }
        Ok(())
    }

    fn pause(&mut self, pause: bool) -> Result<()> {
        let container = self.running()?;
        if pause {
            container.cgroup.freeze()?
        } else {
            container.cgroup.thaw()?
        }
        container.paused = pause;
        Ok(())
    }

    /// A guest says what it is for: a launcher that found us again, or somebody who attaches.
    fn welcome(&mut self, at: usize) {
        let frames = match self.guests[at].receive() {
            Ok(frames) => frames,
            Err(_) => {
                self.guests.remove(at);
                return;
            }
        };
        let Some(frame) = frames.into_iter().next() else { return };
        let mut guest = self.guests.remove(at);
        match serde_json::from_slice(&frame.payload) {
            Ok(ToShim::Control) => {
                guest.tell(&self.state());
                self.control = Some(guest);
            }
            Ok(ToShim::Attach(attach)) => self.attach(guest, attach),
            _ => {}
        }
    }

    fn attach(&mut self, mut guest: Channel, attach: Attach) {
        self.connections += 1;
        let owner = Owner::Connection(self.connections);
        guest.tell(&FromShim::Attached);
        match &mut self.container {
            Some(container) if attach.exec.is_none() => join_guest(&mut container.process.session, guest, &attach, owner),
            _ => self.early.push((guest, attach, owner)),
        }
    }

    /// Every child that has died; the shim is the subreaper of all that its container leaves behind.
    fn reap(&mut self) {
        let mut info = [0u8; 128];
        // SAFETY: drains a signalfd into a buffer of signalfd_siginfo's size.
        while unsafe { libc::read(self.signals.as_raw_fd(), info.as_mut_ptr().cast(), info.len()) } > 0 {}
        if self.starting.is_empty() {
            while let Some((pid, state)) = wait_for(-1) {
                self.reaped(pid, state);
            }
            return;
        }
        // A process that was born for somebody who has not heard of it yet must keep its number: only those that are known are reaped.
        let own = self.container.as_ref().filter(|container| container.process.exited().is_none());
        let known: Vec<i32> = own
            .map(|container| container.process.pid)
            .into_iter()
            .chain(self.execs.pids())
            .collect();
        for pid in known {
            if let Some((pid, state)) = wait_for(pid) {
                self.reaped(pid, state);
            }
        }
    }

    fn reaped(&mut self, pid: i32, state: i32) {
        let Some(container) = self.container.as_mut().filter(|container| container.process.pid == pid) else {
            self.execs.reaped(pid, state);
            return;
        };
        // What is told from here on is the removal of the group.
        container.memory = None;
        let out_of_memory = container.cgroup.oom_killed();
        container.process.exit(status::exit(state, out_of_memory));
        // Those who share another's pid namespace live on otherwise.
        let _ = container.cgroup.kill_all(libc::SIGKILL);
        // One that is on its way in may not have come so far.
        self.starting.iter().for_each(Starting::kill);
    }

    fn draining(&self) -> bool {
        self.execs.draining() || self.container.as_ref().is_some_and(|container| container.process.draining())
    }

    /// After each round: whoever has ended is told of, once.
    fn settle(&mut self) {
        for (exec, pid, status, kept) in self.execs.ended() {
            let output = kept.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect());
            self.queue(&FromShim::ExecExited { exec, pid, status, output });
        }
        if let Some(exit) = self.container.as_mut().and_then(|container| container.process.ended()) {
            self.unwritten = status::keep(&self.directory, &exit);
            let pid = self.container.as_ref().map_or(0, |container| container.process.pid);
            self.queue(&FromShim::Exited { pid, status: exit });
        }
        let own = self
            .container
            .as_mut()
            .map(|container| container.process.flushed())
            .unwrap_or_default();
        for flushed in Vec::from_iter(own.into_iter().chain(self.execs.flushed())) {
            self.queue(&flushed);
        }
        if let Some(control) = &mut self.control {
            control.flush();
        }
        self.busy |= self.execs.forget();
    }

    fn finished(&mut self) -> bool {
        if self.abandoned {
            return true;
        }
        let Some(container) = &mut self.container else { return false };
        if !container.process.told() || !self.execs.is_empty() || !self.starting.is_empty() {
            return false;
        }
        // The client has its exit code by now: cleaning costs nobody's time.
        let _ = container.cgroup.remove();
        self.unwritten.is_none() && !container.process.session.unread()
    }

    fn state(&self) -> FromShim {
        // SAFETY: getpid has no failure.
        let shim = unsafe { libc::getpid() };
        FromShim::State {
            shim,
            version: SHIM,
            netns: path(&self.namespaces.network),
            userns: path(&self.namespaces.user),
            pid: self.container.as_ref().map(|container| container.process.pid),
            exited: self.container.as_ref().and_then(|container| container.process.exited().cloned()),
            execs: self.execs.list(),
            past_execs: self.execs.past(),
        }
    }

    fn tell(&mut self, event: &FromShim) {
        if let Some(control) = &mut self.control {
            control.tell(event);
        }
    }

    fn queue(&mut self, event: &FromShim) {
        if let Some(control) = &mut self.control {
            control.queue(event);
        }
    }
}

/// A child that has died, and its status; `pid` -1: any.
fn wait_for(pid: i32) -> Option<(i32, i32)> {
    let mut state = 0;
    // SAFETY: waitpid fills an int.
    let pid = unsafe { libc::waitpid(pid, &mut state, libc::WNOHANG) };
    (pid > 0).then_some((pid, state))
}

/// Of a descriptor of this process, good in every process of the host.
fn path(descriptor: &Option<OwnedFd>) -> Option<String> {
    descriptor
        .as_ref()
        .map(|fd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()))
}

/// A connection that carries stdio from now on.
fn join_guest(session: &mut Session, guest: Channel, attach: &Attach, owner: Owner) {
    let Ok(reading) = guest.socket.try_clone() else { return };
    session.join(owner);
    if attach.stdin {
        session.feed(reading, owner, attach.detach_keys.as_deref());
    }
    session.sink(guest.socket, owner, attach.stdout, attach.stderr, attach.framed);
}

/// The client's descriptors, in the order 0, 1, 2, as far as they are wanted.
fn join(session: &mut Session, client: &Client, fds: Vec<OwnedFd>) {
    let owner = Owner::Client(client.client);
    session.join(owner);
    let wanted = [client.stdin, client.stdout, client.stderr];
    for (which, fd) in (0..3).filter(|which| wanted[*which]).zip(fds) {
        match which {
            0 => session.feed(fd, owner, client.detach_keys.as_deref()),
            1 => session.sink(fd, owner, true, false, false),
            _ => session.sink(fd, owner, false, true, false),
        }
    }
}

/// The number that a message which is none of ours wants to be answered under.
fn seq_of(payload: &[u8]) -> u32 {
    let message: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    message["seq"].as_u64().map_or(0, |seq| seq as u32)
}
