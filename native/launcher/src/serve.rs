//! The launcher's loop: the switchboard between clients, daemon and shims.

use crate::clients::{After, Clients};
use crate::daemon::Daemon;
use crate::epoll::Epoll;
use crate::force;
use crate::helpers::{self, Helpers};
use crate::options::Options;
use crate::shims::Shims;
use crate::sockets::{self, Sockets};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tsbox_core::failure::{Code, Failure};
use tsbox_core::peer::protocol::{
    ClientHello, ClientOpened, DaemonHello, FromShim, Ran, Run, ShimGone, ShimSpawn, Signal, Signalled, ToShim, VERSION, client, daemon,
    shim,
};
use tsbox_core::peer::unit;
use tsbox_core::peer::wire::{Fill, Frame};

/// A daemon that dies this often without ever being ready has something that a further start won't mend.
const STARTS: u32 = 3;
/// A daemon that lived this long, or has served somebody, was well; the next one is started at once.
const SOUND: Duration = Duration::from_secs(10);
/// The pause before a further start doubles from the one to the other.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];

/// Signals that end a command.
const ENDING: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

pub struct Launcher {
    options: Options,
    home: PathBuf,
    epoll: Epoll,
    sockets: Sockets,
    signals: OwnedFd,
    daemon: Daemon,
    clients: Clients,
    shims: Shims,
    helpers: Helpers,
    /// Daemons in a row that died before they were ready.
    failed: u32,
    /// What the last one said of it.
    fatal: Option<String>,
    /// Daemons in a row that lived for a moment only, and served nobody.
    short_lived: u32,
    /// When the next one is started; None: one runs.
    restart: Option<Instant>,
    ending: bool,
    /// New clients are not heard for the moment.
    deaf: bool,
}

/// What a token of epoll stands for: a kind, and a number of that kind.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Signals,
    Listener,
    Daemon,
    Client,
    Shim,
    HelperOutput,
    HelperErrors,
}

const KINDS: [Kind; 7] = [
    Kind::Signals,
    Kind::Listener,
    Kind::Daemon,
    Kind::Client,
    Kind::Shim,
    Kind::HelperOutput,
    Kind::HelperErrors,
];

fn token(kind: Kind, number: u32) -> u64 {
    u64::from(kind as u32) << 32 | u64::from(number)
}

impl Launcher {
    pub fn new(options: Options, home: PathBuf) -> Result<Launcher, String> {
        let failed = |error: io::Error| format!("can't start the engine: {error}");
        let sockets = sockets::open(&options)?;
        if options.background {
            leave_cgroups();
        }
        protect();
        // SAFETY: what our children leave behind comes to us: containers of killed shims.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        let signals = signals().map_err(failed)?;
        let epoll = Epoll::new().map_err(failed)?;
        let daemon = Daemon::start(&options, &home, &sockets.http)
            .map_err(|error| format!("can't start Node 24 ({error}); run `npm ci` in {}", home.display()))?;
        epoll.add(signals.as_raw_fd(), token(Kind::Signals, 0)).map_err(failed)?;
        epoll.add(sockets.clients.as_raw_fd(), token(Kind::Listener, 0)).map_err(failed)?;
        epoll.add(daemon.fd(), token(Kind::Daemon, 0)).map_err(failed)?;
        if options.background {
            // Whoever started us waits for the end of our output.
            silence();
        }
        Ok(Launcher {
            options,
            home,
            epoll,
            sockets,
            signals,
            daemon,
            clients: Clients::default(),
            shims: Shims::default(),
            helpers: Helpers::default(),
            failed: 0,
            fatal: None,
            short_lived: 0,
            restart: None,
            ending: false,
            deaf: false,
        })
    }

    pub fn serve(mut self) -> i32 {
        self.greet();
        let mut tokens = Vec::new();
        loop {
            let wait = self.restart.map(|at| at.saturating_duration_since(Instant::now()));
            if self.epoll.wait(&mut tokens, wait).is_err() {
                return 1;
            }
            self.listen_again();
            if self.restart.is_some_and(|at| at <= Instant::now())
                && let Some(code) = self.start_daemon()
            {
                return code;
            }
            for ready in &tokens {
                let number = *ready as u32;
                match KINDS[(ready >> 32) as usize] {
                    Kind::Signals => {
                        if let Some(code) = self.signalled() {
                            return code;
                        }
                    }
                    Kind::Listener => self.accept(),
                    Kind::Daemon => self.hear_daemon(),
                    Kind::Client => self.hear_client(number),
                    Kind::Shim => self.hear_shim(number),
                    Kind::HelperOutput => self.helpers.ready(number, 0, &self.epoll),
                    Kind::HelperErrors => self.helpers.ready(number, 1, &self.epoll),
                }
            }
            for (channel, answer) in self.helpers.ended() {
                self.daemon.writer.push(daemon::RAN, channel, &answer, Vec::new());
            }
            self.shims.write_again();
            self.flush_daemon();
        }
    }

    fn flush_daemon(&mut self) {
        let fd = self.daemon.fd();
        let empty = self.daemon.writer.flush(fd).unwrap_or(true);
        self.epoll.watch(fd, token(Kind::Daemon, 0), !empty);
    }

    // ─── Clients ───

    fn accept(&mut self) {
        loop {
            match self.sockets.clients.accept() {
                Ok((socket, _)) => {
                    let _ = self.clients.accept(socket, &self.epoll, |number| token(Kind::Client, number));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
                // No descriptor is free (EMFILE, ENFILE): whoever knocks waits until something else has happened here.
                Err(_) => {
                    self.epoll.remove(self.sockets.clients.as_raw_fd());
                    self.deaf = true;
                    return;
                }
            }
        }
    }

    fn listen_again(&mut self) {
        if std::mem::take(&mut self.deaf) {
            let _ = self.epoll.add(self.sockets.clients.as_raw_fd(), token(Kind::Listener, 0));
        }
    }

    fn hear_client(&mut self, number: u32) {
        let after = self.clients.flush(number, &self.epoll, token(Kind::Client, number));
        self.after(number, after);
        let Some(frames) = self.clients.receive(number) else {
            if self.clients.get(number).is_some() {
                self.clients.remove(number, &self.epoll);
                self.daemon.writer.push(daemon::CLIENT_GONE, number, &[0], Vec::new());
            }
            return;
        };
        for frame in frames {
            match frame.kind {
                client::HELLO => self.hello(number, frame),
                client::SIGNAL => {
                    self.daemon.writer.push(daemon::CLIENT_SIGNAL, number, &frame.payload, Vec::new());
                    self.end_by_signal(number, &frame.payload);
                }
                client::LOGINS_FOUND => {
                    let mut found = frame.payload;
                    self.daemon.writer.push(daemon::CLIENT_LOGINS_FOUND, number, &found, Vec::new());
                    // Every shim is a fork of this process.
                    found.fill(0);
                    std::hint::black_box(&found);
                }
                client::RESIZED => drop(self.daemon.writer.push(daemon::CLIENT_RESIZED, number, &frame.payload, Vec::new())),
                _ => {}
            }
        }
    }

    /// A signal ends a client that waits, whatever state the daemon is in. The signals of `run` and `attach` go to the container, unless
    /// the user asked for `--sig-proxy=false`.
    fn end_by_signal(&mut self, number: u32, payload: &[u8]) {
        let Some(signal) = payload.first().filter(|signal| ENDING.contains(&i32::from(**signal))) else {
            return;
        };
        let Some(client) = self.clients.get(number) else { return };
        if !client.signals_proxied {
            self.send_client(number, client::EXIT, &[128 + signal]);
        }
    }

    fn hello(&mut self, number: u32, frame: Frame) {
        let credentials = self.clients.credentials(number);
        let Ok(mut hello) = serde_json::from_slice::<ClientHello>(&frame.payload) else {
            return self.tell_and_end(
                number,
                "this client and the engine do not understand one another: install tsbox again",
            );
        };
        if hello.version != VERSION {
            return self.tell_and_end(
                number,
                "the engine that runs is of another version than this client: stop it with `tsbox daemon stop`",
            );
        }
        if hello.address.is_some() && hello.address != self.sockets.address {
            return self.send_client(number, client::LOCAL, &[]);
        }
        hello.address = None;
        let opened = ClientOpened {
            hello,
            uid: credentials.uid,
            gid: credentials.gid,
            pid: credentials.pid,
            at: tsbox_shim::status::now(),
            bound: None,
        };
        let words = serde_json::to_vec(&opened).unwrap_or_default();
        let Some(client) = self.clients.get(number) else { return };
        client.stdio = frame.fds;
        if self.daemon.ready {
            self.daemon.writer.push(daemon::CLIENT_OPENED, number, &words, Vec::new());
        }
        client.opened = Some(words);
    }

    /// One line for its standard error, and the exit code of a command that the engine could not do.
    fn tell_and_end(&mut self, number: u32, why: &str) {
        self.send_client(number, client::STDERR, format!("tsbox: {why}\n").as_bytes());
        self.send_client(number, client::EXIT, &[125]);
    }

    fn send_client(&mut self, number: u32, kind: u8, payload: &[u8]) {
        let after = self.clients.send(number, kind, payload, &self.epoll, token(Kind::Client, number));
        self.after(number, after);
    }

    fn after(&mut self, number: u32, after: After) {
        match after {
            After::Going => {}
            After::Drained => drop(self.daemon.writer.push(daemon::CLIENT_DRAINED, number, &[], Vec::new())),
            After::Ended => {
                self.clients.remove(number, &self.epoll);
                self.daemon.writer.push(daemon::CLIENT_GONE, number, &[1], Vec::new());
            }
            // Its end is read, and told, when its socket fires.
            After::Gone => {}
        }
    }

    // ─── The daemon ───

    /// The first frame to a daemon, before its plugins are up: it must know which shims it need not look for.
    fn greet(&mut self) {
        // SAFETY: getpid has no failure.
        let hello = DaemonHello {
            version: VERSION,
            pid: unsafe { libc::getpid() },
            shims: self.shims.list(),
        };
        self.daemon.writer.json(daemon::HELLO, 0, &hello);
        self.flush_daemon();
    }

    fn hear_daemon(&mut self) {
        let fd = self.daemon.fd();
        if !self.daemon.reader.fill(fd).is_ok_and(|fill| fill != Fill::End) {
            // Its death is told by SIGCHLD; until then there is nothing to hear.
            self.epoll.remove(fd);
            return;
        }
        loop {
            match self.daemon.reader.take() {
                Ok(Some(frame)) => self.obey(frame),
                Ok(None) => return,
                Err(error) => {
                    // Its successor finds everything again.
                    crate::say!("tsbox: the daemon is ended, since it does not speak the protocol: {error}");
                    self.epoll.remove(fd);
                    // SAFETY: our child, not reaped yet.
                    unsafe { libc::kill(self.daemon.pid, libc::SIGKILL) };
                    return;
                }
            }
        }
    }

    fn obey(&mut self, frame: Frame) {
        let channel = frame.channel;
        match frame.kind {
            daemon::READY => self.daemon_is_ready(),
            daemon::FATAL => self.fatal = Some(String::from_utf8_lossy(&frame.payload).into_owned()),
            daemon::CLIENT_TAKEN => {
                if let Some(client) = self.clients.get(channel) {
                    client.forget_words();
                }
            }
            daemon::CLIENT_WRITE => {
                let Some((descriptor, bytes)) = frame.payload.split_first() else {
                    return;
                };
                if let Some(client) = self.clients.get(channel) {
                    client.owed = true;
                }
                self.send_client(channel, if *descriptor == 2 { client::STDERR } else { client::STDOUT }, bytes);
            }
            daemon::CLIENT_EXIT => {
                self.daemon.served = true;
                self.send_client(channel, client::EXIT, &frame.payload);
            }
            daemon::CLIENT_LOCAL => self.send_client(channel, client::LOCAL, &[]),
            daemon::CLIENT_LOGINS => self.send_client(channel, client::LOGINS, &frame.payload),
            daemon::CLIENT_RAW => self.send_client(channel, client::RAW, &frame.payload),
            daemon::CLIENT_BIND => {
                if let (Some(client), Some((proxied, word))) = (self.clients.get(channel), frame.payload.split_first()) {
                    client.signals_proxied = *proxied == 1;
                    client.bound = Some(String::from_utf8_lossy(word).into_owned());
                }
            }
            daemon::SHIM_SPAWN | daemon::SHIM_CONNECT => self.shim(frame),
            daemon::TO_SHIM => self.to_shim(channel, &frame.payload),
            daemon::SHIM_RELEASE => self.shims.release(channel, frame.payload.first() == Some(&1)),
            daemon::RUN => self.run(channel, &frame.payload),
            daemon::RUN_CANCEL => self.helpers.cancel(channel),
            daemon::SHUTDOWN => self.shut_down(),
            daemon::SIGNAL => self.signal(channel, &frame.payload),
            _ => {}
        }
    }

    fn daemon_is_ready(&mut self) {
        self.daemon.ready = true;
        // Nobody but the service manager waits for this word.
        let _ = unit::notify("READY=1");
        self.failed = 0;
        let mut lost = Vec::new();
        for (number, client) in self.clients.each() {
            if let Some(words) = &client.opened {
                self.daemon.writer.push(daemon::CLIENT_OPENED, number, words, Vec::new());
            } else if client.bound.is_some() && !client.ending {
                let hello = ClientHello {
                    version: VERSION,
                    argv: Vec::new(),
                    env: Vec::new(),
                    cwd: "/".to_owned(),
                    terminals: [false; 3],
                    size: None,
                    detach_keys: None,
                    address: None,
                };
                let opened = ClientOpened {
                    hello,
                    uid: 0,
                    gid: 0,
                    pid: 0,
                    at: tsbox_shim::status::now(),
                    bound: client.bound.clone(),
                };
                self.daemon.writer.json(daemon::CLIENT_OPENED, number, &opened);
            } else if !client.ending && !client.stdio.is_empty() {
                lost.push(number);
            }
        }
        for number in lost {
            self.tell_and_end(
                number,
                "the daemon died in the middle of this command and was started again: look what it did, then repeat it",
            );
        }
    }

    fn shim(&mut self, frame: Frame) {
        let channel = frame.channel;
        let Ok(spawn) = serde_json::from_slice::<ShimSpawn>(&frame.payload) else {
            return;
        };
        let token = token(Kind::Shim, channel);
        let result = if frame.kind == daemon::SHIM_SPAWN {
            self.shims.spawn(channel, &spawn, &self.epoll, token)
        } else {
            self.shims.connect(channel, &spawn, &self.epoll, token)
        };
        if let Err(error) = result {
            let failure = if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
                Failure::new(Code::NotFound, format!("no shim listens in {}", spawn.directory))
            } else {
                Failure::io(&error, "shim", Some(&spawn.directory))
            };
            self.daemon
                .writer
                .json(daemon::FROM_SHIM, channel, &FromShim::Failed { seq: 0, failure });
        }
    }

    /// A message with the descriptors of a client that are asked for.
    fn to_shim(&mut self, channel: u32, payload: &[u8]) {
        let Some((head, message)) = payload.split_at_checked(6) else {
            return;
        };
        let number = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let (wanted, kind) = (head[4], head[5]);
        let stdio = self.clients.get(number).map(|client| client.stdio.as_slice()).unwrap_or_default();
        let mut fds: Vec<OwnedFd> = stdio
            .iter()
            .enumerate()
            .filter(|(at, _)| wanted & (1 << at) != 0)
            .filter_map(|(_, fd)| fd.try_clone().ok())
            .collect();
        if kind == shim::START {
            match self.shims.hold(channel) {
                Ok(pipe) => fds.push(pipe),
                Err(error) => return self.refuse(channel, &error),
            }
        }
        self.shims
            .send(channel, kind, message, fds, &self.epoll, token(Kind::Shim, channel));
    }

    /// Nothing can be held, so nothing is started.
    fn refuse(&mut self, channel: u32, error: &io::Error) {
        let failure = Failure::io(error, "pipe", None);
        self.daemon
            .writer
            .json(daemon::FROM_SHIM, channel, &FromShim::Failed { seq: 0, failure });
        let abandon = serde_json::to_vec(&ToShim::Abandon).unwrap_or_default();
        self.shims.send(
            channel,
            shim::MESSAGE,
            &abandon,
            Vec::new(),
            &self.epoll,
            token(Kind::Shim, channel),
        );
    }

    fn hear_shim(&mut self, channel: u32) {
        self.shims.flush(channel, &self.epoll, token(Kind::Shim, channel));
        match self.shims.receive(channel) {
            Some(heard) => {
                // The daemon hears it before any command that the client's end leads to: what goes to it leaves in the order in which it
                // was put here.
                for frame in heard.frames {
                    self.daemon.writer.push(daemon::FROM_SHIM, channel, &frame.payload, Vec::new());
                }
                for (client, code) in heard.answers {
                    self.send_client(client, client::EXIT, &[code]);
                }
            }
            None => {
                let killed = self.shims.closed(channel, &self.epoll);
                self.daemon.writer.json(daemon::SHIM_GONE, channel, &ShimGone { killed });
            }
        }
    }

    fn signal(&mut self, channel: u32, payload: &[u8]) {
        let Ok(wanted) = serde_json::from_slice::<Signal>(payload) else {
            return;
        };
        let failure = force::signal(&wanted).err();
        if failure.is_none() && wanted.signal == libc::SIGKILL {
            self.shims.kill(&wanted.id, wanted.pid);
        }
        self.daemon.writer.json(daemon::SIGNALLED, channel, &Signalled { failure });
    }

    fn run(&mut self, channel: u32, payload: &[u8]) {
        let Ok(run) = serde_json::from_slice::<Run>(payload) else { return };
        let tokens = [token(Kind::HelperOutput, channel), token(Kind::HelperErrors, channel)];
        if let Err(error) = self.helpers.start(channel, &run, &self.epoll, tokens) {
            let failure = format!("can't run {}: {error}", run.argv.first().map_or("nothing", String::as_str));
            let answer = helpers::answer(
                &Ran {
                    code: 127,
                    stdout: 0,
                    failure: Some(failure),
                },
                &[],
                &[],
            );
            self.daemon.writer.push(daemon::RAN, channel, &answer, Vec::new());
        }
    }

    // ─── Signals ───

    /// Answers an exit code when it is time to end.
    fn signalled(&mut self) -> Option<i32> {
        // SAFETY: signalfd_siginfo is plain data.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = std::mem::size_of_val(&info);
        while unsafe { libc::read(self.signals.as_raw_fd(), (&raw mut info).cast(), size) } == size as isize {
            if info.ssi_signo != libc::SIGCHLD as u32 {
                self.shut_down();
            }
        }
        loop {
            let mut status = 0;
            // SAFETY: waitpid fills an int.
            let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
            if pid <= 0 {
                return None;
            }
            if pid == self.daemon.pid {
                if let Some(code) = self.daemon_died(status) {
                    return Some(code);
                }
            } else if let Some((channel, event)) = self.shims.reaped(pid, status) {
                self.daemon.writer.json(daemon::FROM_SHIM, channel, &event);
            } else {
                self.helpers.reaped(pid, status);
            }
        }
    }

    fn shut_down(&mut self) {
        self.ending = true;
        let _ = unit::notify("STOPPING=1");
        // SAFETY: our child, not reaped yet.
        unsafe { libc::kill(self.daemon.pid, libc::SIGTERM) };
    }

    fn daemon_died(&mut self, status: i32) -> Option<i32> {
        self.hear_daemon();
        self.epoll.remove(self.daemon.fd());
        self.shims.give_up_held();
        if self.ending {
            self.sockets.remove();
            return Some(0);
        }
        self.fatal = self.fatal.take().or_else(|| self.last_words());
        self.failed = if self.daemon.ready { 0 } else { self.failed + 1 };
        if self.fatal.is_some() || (self.failed >= STARTS && self.daemon.stillborn()) {
            let why = self.fatal.take().unwrap_or_else(|| {
                format!(
                    "the daemon does not start (status {status:#x}): see {}/daemon.log",
                    self.options.state.display()
                )
            });
            return Some(self.give_up(&why));
        }
        let sound = self.daemon.served || self.daemon.age() >= SOUND;
        self.short_lived = if sound { 0 } else { self.short_lived + 1 };
        let pause = match self.short_lived {
            0 | 1 => Duration::ZERO,
            many => PAUSES[1].min(PAUSES[0] * (1 << (many - 2).min(10))),
        };
        crate::say!(
            "tsbox: the daemon {}; it is started again{}",
            died_of(status),
            if pause.is_zero() {
                String::new()
            } else {
                format!(" in {} s", pause.as_secs_f64())
            }
        );
        self.daemon.ready = false;
        self.restart = Some(Instant::now() + pause);
        if pause.is_zero() { self.start_daemon() } else { None }
    }

    /// Answers an exit code when there can be none.
    fn start_daemon(&mut self) -> Option<i32> {
        self.restart = None;
        match Daemon::start(&self.options, &self.home, &self.sockets.http) {
            Ok(daemon) => {
                self.daemon = daemon;
                self.greet();
                let _ = self.epoll.add(self.daemon.fd(), token(Kind::Daemon, 0));
                None
            }
            Err(error) => Some(self.give_up(&format!("can't start Node 24: {error}"))),
        }
    }

    /// What a daemon that could not start left as its reason.
    fn last_words(&self) -> Option<String> {
        let path = self.options.state.join("daemon.fatal");
        let words = std::fs::read_to_string(&path).ok()?;
        let _ = std::fs::remove_file(path);
        Some(words.trim().to_owned())
    }

    fn give_up(&mut self, why: &str) -> i32 {
        let waiting: Vec<u32> = self.clients.each().map(|(number, _)| number).collect();
        for number in waiting {
            self.tell_and_end(number, why);
        }
        crate::say!("tsbox: {why}");
        self.sockets.remove();
        1
    }
}

/// A host that runs out of memory ends containers, not who holds them: shims are forks of this process and have its score, what a container
/// runs has one of its own. A host that refuses it (no CAP_SYS_RESOURCE) has shims that count like any other process, which are small.
fn protect() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
}

/// In words.
fn died_of(status: i32) -> String {
    if libc::WIFSIGNALED(status) {
        format!("was killed by signal {}", libc::WTERMSIG(status))
    } else {
        format!("ended with exit code {}", libc::WEXITSTATUS(status))
    }
}

/// Blocked for good, read from a descriptor.
fn signals() -> io::Result<OwnedFd> {
    // SAFETY: a signal set on the stack; the descriptor is ours.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT] {
            libc::sigaddset(&mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}

/// An engine that a client started must not be counted, limited or killed with that client's session.
fn leave_cgroups() {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return;
    };
    for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
        let Some(point) = line.split(' ').nth(4) else { continue };
        let (v1, v2) = (Path::new(point).join("tasks"), Path::new(point).join("cgroup.procs"));
        // A systemd host has a unit for this; what refuses is left alone.
        let _ = std::fs::write(if v1.exists() { v1 } else { v2 }, "0");
    }
}

fn silence() {
    // SAFETY: descriptors of this process.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        libc::dup2(null, 1);
        libc::close(null);
    }
}
