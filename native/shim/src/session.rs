//! The stdio of one process: what it writes goes to the log and to every sink, and what the feeders send goes to its stdin.
//!
//! Nothing here blocks and nothing is lost: while a sink is full the process is not read from, so it waits as it would for a full pipe.

use crate::channel::nonblocking;
use crate::client::Client;
use crate::input::{Alive, DETACH, Fed, Feeder, Input};
use crate::log::Log;
use crate::sink::{FULL, Owner, Sink, Stream};
use rustix::io::Errno;
use rustix::termios::{Winsize, tcsetwinsize};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

struct Output {
    fd: OwnedFd,
    stream: Stream,
}

pub struct Session {
    outputs: Vec<Output>,
    input: Option<Input>,
    /// Clients and connections that take part, whether or not any of their streams is left. Each hears of the end.
    owners: Vec<Owner>,
    feeders: Vec<Feeder>,
    sinks: Vec<Sink>,
    /// Clients whose reader is gone (`| head -1`), not told yet.
    broken: Vec<Owner>,
    log: Log,
    terminal: bool,
    stdin_once: bool,
    buffer: Scratch,
    /// The beginning of the output, for those who want to hear it at the end, and how much of it.
    kept: Option<(Vec<u8>, usize)>,
}

/// Room for one read; a pipe holds no more by default. It is a mapping of its own, so an idle container costs no page for it.
struct Scratch(*mut u8);

impl Scratch {
    const LENGTH: usize = 64 << 10;

    fn new() -> io::Result<Scratch> {
        // SAFETY: a new private mapping, which only drop takes away.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Self::LENGTH,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Scratch(at.cast()))
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is that long, is zeroed by the kernel, and belongs to this value alone, which is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.0, Self::LENGTH) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: `new` has mapped it, and nothing borrows it any more.
        unsafe { libc::munmap(self.0.cast(), Self::LENGTH) };
    }
}

/// What a session tells its shim.
#[derive(PartialEq, Eq, Debug)]
pub enum SessionEvent {
    Detached(Owner),
}

/// A descriptor that the shim polls, and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Output(usize),
    Input,
    Feeder(usize),
    Sink(usize),
}

impl Session {
    pub fn new(log: Log, terminal: bool, stdin_once: bool) -> io::Result<Session> {
        Ok(Session {
            outputs: Vec::new(),
            input: None,
            owners: Vec::new(),
            feeders: Vec::new(),
            sinks: Vec::new(),
            broken: Vec::new(),
            log,
            terminal,
            stdin_once,
            buffer: Scratch::new()?,
            kept: None,
        })
    }

    pub fn output(&mut self, fd: OwnedFd, stream: Stream) -> io::Result<()> {
        nonblocking(&fd)?;
        self.outputs.push(Output { fd, stream });
        Ok(())
    }

    pub fn input(&mut self, fd: OwnedFd) -> io::Result<()> {
        nonblocking(&fd)?;
        self.input = Some(Input::new(fd));
        Ok(())
    }

    /// Keeps the first `most` bytes of what the process writes.
    pub fn keep(&mut self, most: usize) {
        self.kept = Some((Vec::new(), most));
    }

    pub fn kept(&mut self) -> Option<Vec<u8>> {
        self.kept.take().map(|(bytes, _)| bytes)
    }

    /// `owner` takes part from now on; its streams follow.
    pub fn join(&mut self, owner: Owner) {
        if !self.owners.contains(&owner) {
            self.owners.push(owner);
        }
    }

    /// `keys`: the detach keys, if they are not Docker's.
    pub fn feed(&mut self, fd: OwnedFd, owner: Owner, keys: Option<&[u8]>) {
        if self.input.is_some() {
            let keys = if self.terminal { keys.unwrap_or(&DETACH) } else { &[] };
            self.feeders.push(Feeder::new(fd, owner, keys.to_vec()));
        }
    }

    pub fn sink(&mut self, fd: OwnedFd, owner: Owner, stdout: bool, stderr: bool, framed: bool) {
        self.sinks.push(Sink::new(fd, owner, stdout, stderr, framed));
    }

    /// A client of the launcher takes part, with its descriptors in the order 0, 1, 2, as far as it lends them.
    pub fn join_client(&mut self, client: &Client, fds: Vec<OwnedFd>) {
        let owner = Owner::Client(client.client);
        self.join(owner);
        for (which, fd) in client.lent().zip(fds) {
            match which {
                0 => self.feed(fd, owner, client.detach_keys.as_deref()),
                1 => self.sink(fd, owner, true, false, false),
                _ => self.sink(fd, owner, false, true, false),
            }
        }
    }

    /// Takes out everything that belongs to `owner`.
    pub fn leave(&mut self, owner: Owner) {
        self.owners.retain(|one| *one != owner);
        self.sinks.retain(|sink| sink.owner != owner);
        self.feeders.retain(|feeder| feeder.owner != owner);
    }

    /// `owner` is gone without a word: who wrote to the process has written all that it will.
    pub fn lose(&mut self, owner: Owner) {
        let fed = self.feeders.iter().any(|feeder| feeder.owner == owner);
        self.leave(owner);
        if fed {
            self.end_of_input();
        }
    }

    /// The launcher is dead, and with it all its clients.
    pub fn lose_clients(&mut self) {
        let clients = self.owners.iter().copied().filter(|owner| matches!(owner, Owner::Client(_)));
        for owner in Vec::from_iter(clients) {
            self.lose(owner);
        }
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        if let (true, Some(output)) = (self.terminal, self.outputs.first()) {
            let size = Winsize {
                ws_row: rows,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            let _ = tcsetwinsize(&output.fd, size);
        }
    }

    /// What to poll now.
    pub fn poll(&self, each: &mut impl FnMut(Part, RawFd, i16)) {
        if !self.held_up() {
            for (at, output) in self.outputs.iter().enumerate() {
                each(Part::Output(at), output.fd.as_raw_fd(), libc::POLLIN);
            }
        }
        if let Some(input) = &self.input {
            if input.full() {
                each(Part::Input, input.fd(), libc::POLLOUT);
            } else {
                for (at, feeder) in self.feeders.iter().enumerate() {
                    each(Part::Feeder(at), feeder.fd(), libc::POLLIN);
                }
            }
        }
        for (at, sink) in self.sinks.iter().enumerate() {
            if sink.pending() > 0 {
                each(Part::Sink(at), sink.fd(), libc::POLLOUT);
            } else if matches!(sink.owner, Owner::Connection(_)) {
                // An HTTP client that hangs up both ways is gone; one that only ends its stdin still listens.
                each(Part::Sink(at), sink.fd(), 0);
            }
        }
    }

    /// Somebody who does not read keeps the process from being read.
    pub fn held_up(&self) -> bool {
        self.sinks.iter().any(|sink| sink.pending() >= FULL)
    }

    /// One descriptor is ready. Ended parts are taken out by `tidy` afterwards, so that positions hold while the shim goes over its poll
    /// set.
    pub fn ready(&mut self, part: Part) -> Option<SessionEvent> {
        match part {
            Part::Output(at) => self.read_output(at),
            Part::Input => {
                if self.input.as_mut().is_some_and(|input| input.flush() == Alive::No) {
                    self.close_input();
                }
            }
            Part::Feeder(at) => return self.read_feeder(at),
            Part::Sink(at) => {
                if let Some(sink) = self.sinks.get_mut(at) {
                    if sink.pending() > 0 { sink.flush() } else { sink.hang_up() }
                }
            }
        }
        None
    }

    /// Takes out dead sinks. A client that writes to nobody leaves, as a program does that SIGPIPE ends; a connection's own end is read
    /// elsewhere.
    pub fn tidy(&mut self) {
        let broken = self
            .sinks
            .iter()
            .filter(|sink| sink.broken() && matches!(sink.owner, Owner::Client(_)))
            .map(|sink| sink.owner);
        for owner in Vec::from_iter(broken) {
            self.lose(owner);
            if !self.broken.contains(&owner) {
                self.broken.push(owner);
            }
        }
        self.sinks.retain(|sink| !sink.dead());
    }

    /// Clients that have left since they were asked for last, because nobody reads their output.
    pub fn broken(&mut self) -> Vec<Owner> {
        std::mem::take(&mut self.broken)
    }

    fn read_output(&mut self, at: usize) {
        let Some(output) = self.outputs.get(at) else { return };
        let buffer = self.buffer.bytes();
        let count = match rustix::io::read(&output.fd, &mut *buffer) {
            Err(Errno::WOULDBLOCK | Errno::INTR) => return,
            // A terminal whose last process has closed it says EIO.
            answer => answer.unwrap_or(0),
        };
        if count > 0 {
            let (stream, bytes) = (output.stream, &buffer[..count]);
            self.log.write(stream, bytes);
            if let Some((kept, most)) = &mut self.kept {
                kept.extend_from_slice(&bytes[..bytes.len().min(*most - kept.len())]);
            }
            for sink in self.sinks.iter_mut().filter(|sink| sink.wants(stream)) {
                sink.write(stream, bytes);
            }
        } else {
            self.outputs.remove(at);
        }
    }

    fn read_feeder(&mut self, at: usize) -> Option<SessionEvent> {
        let feeder = self.feeders.get_mut(at)?;
        let owner = feeder.owner;
        match feeder.read(self.buffer.bytes()) {
            Fed::Nothing => {}
            Fed::Bytes(bytes) => {
                if self.input.as_mut().is_some_and(|input| input.write(&bytes) == Alive::No) {
                    self.close_input();
                }
            }
            Fed::Detached(bytes) => {
                self.leave(owner);
                if self.input.as_mut().is_some_and(|input| input.write(&bytes) == Alive::No) {
                    self.close_input();
                }
                return Some(SessionEvent::Detached(owner));
            }
            Fed::End => {
                self.feeders.remove(at);
                self.end_of_input();
            }
        }
        None
    }

    fn end_of_input(&mut self) {
        if !self.stdin_once || self.terminal {
            return;
        }
        if let Some(input) = &mut self.input {
            input.close();
            if input.flush() == Alive::No {
                self.close_input();
            }
        }
    }

    fn close_input(&mut self) {
        self.input = None;
        self.feeders.clear();
    }

    /// All writers have closed their ends.
    pub fn ended(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Whoever still holds the ends open is not waited for.
    pub fn give_up(&mut self) {
        self.outputs.clear();
    }

    pub fn finish(&mut self) {
        self.close_input();
        self.log.close();
    }

    /// Takes out those who have everything, among them those who wanted no output, and those whose streams have all ended before.
    pub fn flushed(&mut self) -> Vec<Owner> {
        self.sinks.retain(|sink| sink.pending() > 0);
        let (waiting, done) = self
            .owners
            .drain(..)
            .partition(|owner| self.sinks.iter().any(|sink| sink.owner == *owner));
        self.owners = waiting;
        done
    }

    pub fn unread(&self) -> bool {
        !self.sinks.is_empty()
    }
}
