//! The stdio of one process: its output goes to the log and to every sink, and the input of the feeders goes to its stdin.
//!
//! Nothing here blocks and nothing is lost: while a sink is full, the shim does not read from the process, which then waits as it would for
//! a full pipe.

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
    /// Clients and connections that take part, even when none of their streams is left. Each is notified of the end.
    owners: Vec<Owner>,
    feeders: Vec<Feeder>,
    sinks: Vec<Sink>,
    /// Clients whose reader is gone (`| head -1`) and whose end is not reported yet.
    broken: Vec<Owner>,
    log: Log,
    terminal: bool,
    stdin_once: bool,
    buffer: Scratch,
    /// The beginning of the output, which is reported with the end, and its maximum length.
    kept: Option<(Vec<u8>, usize)>,
}

/// A buffer for one read; by default a pipe holds no more. It is a separate mapping, so it costs an idle container no page.
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

/// An event of a session that the shim handles.
#[derive(PartialEq, Eq, Debug)]
pub enum SessionEvent {
    Detached(Owner),
}

/// A descriptor that the shim polls, by its role.
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

    /// Keeps the first `most` bytes of the process's output.
    pub fn keep(&mut self, most: usize) {
        self.kept = Some((Vec::new(), most));
    }

    pub fn kept(&mut self) -> Option<Vec<u8>> {
        self.kept.take().map(|(bytes, _)| bytes)
    }

    /// Adds `owner`; its streams follow.
    pub fn join(&mut self, owner: Owner) {
        if !self.owners.contains(&owner) {
            self.owners.push(owner);
        }
    }

    /// `keys`: the detach keys; None: Docker's.
    pub fn feed(&mut self, fd: OwnedFd, owner: Owner, keys: Option<&[u8]>) {
        if self.input.is_some() {
            let keys = if self.terminal { keys.unwrap_or(&DETACH) } else { &[] };
            self.feeders.push(Feeder::new(fd, owner, keys.to_vec()));
        }
    }

    pub fn sink(&mut self, fd: OwnedFd, owner: Owner, stdout: bool, stderr: bool, framed: bool) {
        self.sinks.push(Sink::new(fd, owner, stdout, stderr, framed));
    }

    /// Adds a client of the launcher with the descriptors that it lends, in the order 0, 1, 2.
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

    /// Removes everything that belongs to `owner`.
    pub fn leave(&mut self, owner: Owner) {
        self.owners.retain(|one| *one != owner);
        self.sinks.retain(|sink| sink.owner != owner);
        self.feeders.retain(|feeder| feeder.owner != owner);
    }

    /// Removes an `owner` that disconnected. If it wrote to the process, its input has ended.
    pub fn lose(&mut self, owner: Owner) {
        let fed = self.feeders.iter().any(|feeder| feeder.owner == owner);
        self.leave(owner);
        if fed {
            self.end_of_input();
        }
    }

    /// Removes all clients of the launcher, which is dead.
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

    /// Names the descriptors to poll now.
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
                // An HTTP client that closes both directions is gone; a client that only ends its stdin still listens.
                each(Part::Sink(at), sink.fd(), 0);
            }
        }
    }

    /// Whether a slow reader stops the shim from reading the process's output.
    pub fn held_up(&self) -> bool {
        self.sinks.iter().any(|sink| sink.pending() >= FULL)
    }

    /// Handles one descriptor that is ready. `tidy` removes ended parts afterwards, so that positions stay valid while the shim goes over
    /// its poll set.
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

    /// Removes dead sinks. A client whose output has no reader is removed, as SIGPIPE would end a program. The end of a connection is
    /// detected elsewhere.
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

    /// The clients that were removed since the last call because their output has no reader.
    pub fn broken(&mut self) -> Vec<Owner> {
        std::mem::take(&mut self.broken)
    }

    fn read_output(&mut self, at: usize) {
        let Some(output) = self.outputs.get(at) else { return };
        let buffer = self.buffer.bytes();
        let count = match rustix::io::read(&output.fd, &mut *buffer) {
            Err(Errno::WOULDBLOCK | Errno::INTR) => return,
            // A terminal that its last process has closed returns EIO.
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

    /// Whether all writers have closed their ends.
    pub fn ended(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Stops waiting for processes that still hold the ends open.
    pub fn give_up(&mut self) {
        self.outputs.clear();
    }

    pub fn finish(&mut self) {
        self.close_input();
        self.log.close();
    }

    /// Removes and returns the owners that have all their output, including those that wanted none and those whose streams ended earlier.
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
