//! The shim's loop: one thread, one poll set, everything non-blocking.

use crate::channel::Channel;
use crate::launch::{self, Start};
use crate::namespaces::Namespaces;
use crate::session::{Part, Session, Told};
use crate::sink::Owner;
use crate::{Config, memory, status};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::protocol::{Attach, Exit, FromShim, ToShim, shim};
use tsbox_core::wire::Frame;
use tsbox_runtime::Cgroup;

/// How long the ends of a dead container's pipes may be held open by strangers before they are given up.
const DRAIN: Duration = Duration::from_secs(2);

struct Process {
    pid: i32,
    pidfd: OwnedFd,
    cgroup: Cgroup,
    session: Session,
    exited: Option<Exit>,
    /// When the exit was seen.
    since: Option<Instant>,
    told: bool,
    paused: bool,
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
    process: Option<Process>,
    connections: u64,
    /// Those who attached before the start: they miss nothing.
    early: Vec<(Channel, Attach, Owner)>,
    abandoned: bool,
    /// The container was started in this round.
    started: bool,
}

struct Parts {
    namespaces: Namespaces,
    listener: UnixListener,
    signals: OwnedFd,
}

impl Parts {
    fn make(config: &Config) -> Result<Parts> {
        become_shim()?;
        let namespaces = Namespaces::make(config.network, config.id_maps.as_ref())?;
        Ok(Parts {
            namespaces,
            listener: listen(&config.directory)?,
            signals: signals()?,
        })
    }
}

#[derive(Clone, Copy)]
enum Polled {
    Control,
    Listener,
    Signals,
    Guest(usize),
    Session(Part),
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
                    process: None,
                    connections: 0,
                    early: Vec::new(),
                    abandoned: false,
                    started: false,
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
            let timeout = if self.draining() { 100 } else { -1 };
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
            self.settle();
            self.slim();
        }
        0
    }

    /// Once the container runs, what the launch took goes back to the kernel: a shim does little from here on, and there may be thousands.
    fn slim(&mut self) {
        if std::mem::take(&mut self.started) {
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
        if let Some(process) = &self.process {
            process
                .session
                .poll(&mut |part, fd, events| each(Polled::Session(part), fd, events));
        }
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
            Polled::Session(part) => {
                let told = self.process.as_mut().and_then(|process| process.session.ready(part));
                if let Some(Told::Detached(Owner::Client(client))) = told {
                    self.tell(&FromShim::Detached { client });
                }
            }
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
                self.abandoned = self.process.is_none();
            }
        }
    }

    fn obey(&mut self, frame: Frame) {
        if frame.kind == shim::START {
            match serde_json::from_slice::<Start>(&frame.payload) {
                Ok(start) => self.start(&start, frame.fds),
                Err(error) => self.tell(&FromShim::Failed {
                    seq: 0,
                    failure: Failure::new(Code::InvalidArgument, format!("the launch is not one: {error}")),
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
            ToShim::Abandon => self.abandoned = self.process.is_none(),
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
                if let Some(process) = &self.process {
                    process.session.resize(rows, columns);
                }
            }
            ToShim::Join {
                seq,
                client,
                stdin,
                stdout,
                stderr,
            } => {
                let result = self
                    .running()
                    .map(|process| join(&mut process.session, client, [stdin, stdout, stderr], frame.fds));
                self.tell(&answer(result, seq));
            }
            ToShim::Leave { client } => {
                if let Some(process) = &mut self.process {
                    process.session.leave(Owner::Client(client));
                }
            }
            // A new daemon of the same launcher asks how things stand.
            ToShim::Control => {
                let state = self.state();
                self.tell(&state);
            }
            ToShim::Attach(_) => {}
        }
    }

    fn start(&mut self, start: &Start, fds: Vec<OwnedFd>) {
        match launch::start(&self.id, start) {
            Ok(launch::Launched {
                started,
                mut session,
                timings,
            }) => {
                if let Some(client) = &start.client {
                    join(&mut session, client.client, [client.stdin, client.stdout, client.stderr], fds);
                }
                for (guest, attach, owner) in self.early.drain(..) {
                    join_guest(&mut session, guest, attach, owner);
                }
                let (pid, warnings) = (started.pid, started.warnings);
                self.process = Some(Process {
                    pid,
                    pidfd: started.pidfd,
                    cgroup: started.cgroup,
                    session,
                    exited: None,
                    since: None,
                    told: false,
                    paused: false,
                });
                self.tell(&FromShim::Started {
                    seq: start.seq,
                    pid,
                    warnings,
                    timings,
                });
                self.started = true;
                // It may be dead already: its SIGCHLD came when nobody knew its pid.
                self.reap();
            }
            Err(failure) => {
                self.tell(&FromShim::Failed { seq: start.seq, failure });
                self.abandoned = true;
            }
        }
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process
            .as_mut()
            .filter(|process| process.exited.is_none())
            .ok_or_else(|| Failure::new(Code::FailedPrecondition, "the container is not running"))
    }

    fn signal(&mut self, signal: i32, all: bool) -> Result<()> {
        let process = self.running()?;
        if all {
            process.cgroup.kill_all(signal)?;
        } else {
            // SAFETY: a pidfd of ours; no siginfo.
            let sent = unsafe {
                libc::syscall(
                    libc::SYS_pidfd_send_signal,
                    process.pidfd.as_raw_fd(),
                    signal,
                    std::ptr::null::<libc::siginfo_t>(),
                    0,
                )
            };
            if sent != 0 {
                return Err(Failure::last("pidfd_send_signal", None));
            }
        }
        // On cgroup v1 even SIGKILL waits until a frozen group is thawed.
        if signal == libc::SIGKILL && process.paused {
            process.paused = false;
            process.cgroup.thaw()?;
        }
        Ok(())
    }

    fn pause(&mut self, pause: bool) -> Result<()> {
        let process = self.running()?;
        if pause {
            process.cgroup.freeze()?
        } else {
            process.cgroup.thaw()?
        }
        process.paused = pause;
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
        match &mut self.process {
            Some(process) => join_guest(&mut process.session, guest, attach, owner),
            None => self.early.push((guest, attach, owner)),
        }
    }

    /// Every child that has died; the shim is the subreaper of all that its container leaves behind.
    fn reap(&mut self) {
        let mut info = [0u8; 128];
        // SAFETY: drains a signalfd into a buffer of signalfd_siginfo's size.
        while unsafe { libc::read(self.signals.as_raw_fd(), info.as_mut_ptr().cast(), info.len()) } > 0 {}
        loop {
            let mut state = 0;
            // SAFETY: waitpid fills an int.
            let pid = unsafe { libc::waitpid(-1, &mut state, libc::WNOHANG) };
            if pid <= 0 {
                return;
            }
            if let Some(process) = self.process.as_mut().filter(|process| process.pid == pid) {
                process.exited = Some(status::exit(state, process.cgroup.oom_killed()));
                process.since = Some(Instant::now());
                // Those who share another's pid namespace live on otherwise.
                let _ = process.cgroup.kill_all(libc::SIGKILL);
            }
        }
    }

    fn draining(&self) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.exited.is_some() && !process.told)
    }

    /// After each round: whoever has ended is told of, once.
    fn settle(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.session.tidy();
        let Some(exit) = process.exited.clone() else { return };
        if !process.told {
            if process.since.is_some_and(|since| since.elapsed() > DRAIN) {
                process.session.give_up();
            }
            if !process.session.ended() {
                return;
            }
            process.session.finish();
            process.told = true;
            let pid = process.pid;
            let _ = status::write(&self.directory, &exit);
            self.tell(&FromShim::Exited { pid, status: exit });
        }
        let Some(process) = &mut self.process else { return };
        for owner in process.session.flushed() {
            if let Owner::Client(client) = owner {
                self.tell(&FromShim::Flushed { client });
            }
        }
    }

    fn finished(&mut self) -> bool {
        if self.abandoned {
            return true;
        }
        let Some(process) = &mut self.process else { return false };
        if !process.told {
            return false;
        }
        // The client has its exit code by now: cleaning costs nobody's time.
        let _ = process.cgroup.remove();
        !process.session.unread()
    }

    fn state(&self) -> FromShim {
        // SAFETY: getpid has no failure.
        let shim = unsafe { libc::getpid() };
        FromShim::State {
            shim,
            netns: path(&self.namespaces.network),
            userns: path(&self.namespaces.user),
            pid: self.process.as_ref().map(|process| process.pid),
            exited: self.process.as_ref().and_then(|process| process.exited.clone()),
        }
    }

    fn tell(&mut self, event: &FromShim) {
        if let Some(control) = &mut self.control {
            control.tell(event);
        }
    }
}

/// Of a descriptor of this process, good in every process of the host.
fn path(descriptor: &Option<OwnedFd>) -> Option<String> {
    descriptor
        .as_ref()
        .map(|fd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()))
}

/// A connection that carries stdio from now on.
fn join_guest(session: &mut Session, guest: Channel, attach: Attach, owner: Owner) {
    let Ok(reading) = guest.socket.try_clone() else { return };
    if attach.stdin {
        session.feed(reading, owner);
    }
    session.sink(guest.socket, owner, attach.stdout, attach.stderr, attach.framed);
}

/// The client's descriptors, in the order 0, 1, 2, as far as `wanted`.
fn join(session: &mut Session, client: u32, wanted: [bool; 3], fds: Vec<OwnedFd>) {
    let owner = Owner::Client(client);
    for (which, fd) in (0..3).filter(|which| wanted[*which]).zip(fds) {
        match which {
            0 => session.feed(fd, owner),
            1 => session.sink(fd, owner, true, false, false),
            _ => session.sink(fd, owner, false, true, false),
        }
    }
}

/// What sets the shim apart from the launcher that it was a moment ago.
fn become_shim() -> Result<()> {
    memory::keep_small();
    // SAFETY: calls on this process alone, which has one thread.
    unsafe {
        libc::setsid();
        libc::chdir(c"/".as_ptr());
        libc::umask(0o022);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::prctl(libc::PR_SET_NAME, c"tsbox:[shim]".as_ptr());
        if libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) != 0 {
            return Err(Failure::last("prctl(PR_SET_CHILD_SUBREAPER)", None));
        }
    }
    Ok(())
}

/// `shim.sock` in the container's directory. A socket's path has 107 bytes at most, so it is bound by a short way round.
fn listen(directory: &std::path::Path) -> Result<UnixListener> {
    let failed = |error: io::Error| Failure::io(&error, "listen", directory.to_str());
    // What an earlier start of the same container left.
    for old in ["shim.sock", "exit"] {
        let _ = std::fs::remove_file(directory.join(old));
    }
    let folder = std::fs::File::open(directory).map_err(failed)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/shim.sock", folder.as_raw_fd())).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn signals() -> Result<OwnedFd> {
    // SAFETY: a signal set on the stack; the descriptor is ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            Err(Failure::last("signalfd", None))
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}
