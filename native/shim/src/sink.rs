//! A reader of the container's output: a client's descriptor, or a connection to the shim's socket.
//!
//! A client's descriptor shares its file description with the user's shell, so it is never made non-blocking itself. A descriptor that can
//! block is opened again through /proc/self/fd (pipes, terminals) or written with MSG_DONTWAIT (sockets). A regular file can't block and
//! keeps its shared offset.

use rustix::fs::FileType;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use tsbox_core::sys;

/// A reader with more unread bytes than this holds up the container, as a full pipe would.
pub const FULL: usize = 256 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Stdout = 1,
    Stderr = 2,
}

/// The owner of a stream: a client of the launcher, or a connection by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Client(u32),
    Connection(u64),
}

/// A descriptor that never blocks when it is used.
pub struct Unblocked {
    pub fd: OwnedFd,
    socket: bool,
}

impl Unblocked {
    /// A descriptor that only the shim holds and that is non-blocking already. (A terminal's master must not be opened again: that makes
    /// another terminal.)
    pub fn own(fd: OwnedFd) -> Unblocked {
        Unblocked { fd, socket: false }
    }

    /// A descriptor that came from another process.
    pub fn new(fd: OwnedFd, access: i32) -> Unblocked {
        let kind = rustix::fs::fstat(&fd).map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
        let terminal = kind == FileType::CharacterDevice && rustix::termios::isatty(&fd);
        if kind != FileType::Fifo && !terminal {
            return Unblocked {
                fd,
                socket: kind == FileType::Socket,
            };
        }
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let again = sys::open(&path, access | libc::O_NONBLOCK | libc::O_NOCTTY);
        Unblocked {
            fd: again.unwrap_or(fd),
            socket: false,
        }
    }

    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(if self.socket {
            recv(&self.fd, into, RecvFlags::DONTWAIT)?.0
        } else {
            rustix::io::read(&self.fd, into)?
        })
    }

    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(if self.socket {
            send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?
        } else {
            rustix::io::write(&self.fd, bytes)?
        })
    }
}

pub struct Sink {
    to: Unblocked,
    pub owner: Owner,
    stdout: bool,
    stderr: bool,
    framed: bool,
    pending: Vec<u8>,
    sent: usize,
    dead: bool,
    /// The sink is dead because the reading end is closed.
    broken: bool,
}

impl Sink {
    pub fn new(fd: OwnedFd, owner: Owner, stdout: bool, stderr: bool, framed: bool) -> Sink {
        Sink {
            to: Unblocked::new(fd, libc::O_WRONLY),
            owner,
            stdout,
            stderr,
            framed,
            pending: Vec::new(),
            sent: 0,
            dead: false,
            broken: false,
        }
    }

    pub fn fd(&self) -> RawFd {
        self.to.fd.as_raw_fd()
    }

    pub fn wants(&self, stream: Stream) -> bool {
        !self.dead && if stream == Stream::Stdout { self.stdout } else { self.stderr }
    }

    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if self.framed {
            // Docker's multiplexed stream: [stream, 0, 0, 0, length big endian].
            let length = (bytes.len() as u32).to_be_bytes();
            let header = [stream as u8, 0, 0, 0, length[0], length[1], length[2], length[3]];
            self.put(&header);
        }
        self.put(bytes);
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while self.pending.is_empty() && !bytes.is_empty() && !self.dead {
            match self.to.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.fail(&error),
            }
        }
        if !self.dead {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// Sends as much of the rest as the descriptor takes.
    pub fn flush(&mut self) {
        while self.sent < self.pending.len() && !self.dead {
            match self.to.write(&self.pending[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.fail(&error),
            }
        }
        self.pending.clear();
        self.sent = 0;
    }

    fn fail(&mut self, error: &io::Error) {
        self.dead = true;
        self.broken = error.kind() == io::ErrorKind::BrokenPipe;
    }

    pub fn pending(&self) -> usize {
        if self.dead { 0 } else { self.pending.len() - self.sent }
    }

    pub fn hang_up(&mut self) {
        self.dead = true;
    }

    /// Whether the reading end is closed, for which SIGPIPE would end a program.
    pub fn broken(&self) -> bool {
        self.broken
    }

    /// Whether the reader is gone. A dead sink takes no bytes and holds up no process.
    pub fn dead(&self) -> bool {
        self.dead
    }
}

/// A connection that is closed with unread input is reset, and its reader may lose the output. So the shim first shuts the connection down
/// and reads what has arrived.
impl Drop for Sink {
    fn drop(&mut self) {
        if !self.to.socket || !matches!(self.owner, Owner::Connection(_)) {
            return;
        }
        let _ = shutdown(&self.to.fd, Shutdown::Both);
        let mut room = [0; 4096];
        while self.to.read(&mut room).is_ok_and(|count| count > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_slow_reader_never_blocks_and_loses_nothing() {
        let (mut reading, writing) = io::pipe().unwrap();
        let mut sink = Sink::new(OwnedFd::from(writing), Owner::Client(1), true, false, false);
        let chunk = vec![7u8; 100_000];
        for _ in 0..5 {
            sink.write(Stream::Stdout, &chunk);
        }
        assert!(sink.pending() > 300_000);
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; 500_000];
            reading.read_exact(&mut all).unwrap();
            all
        });
        while sink.pending() > 0 {
            let mut polled = libc::pollfd {
                fd: sink.fd(),
                events: libc::POLLOUT,
                revents: 0,
            };
            sys::poll::wait(std::slice::from_mut(&mut polled), -1).unwrap();
            sink.flush();
        }
        assert_eq!(reader.join().unwrap(), vec![7u8; 500_000]);
    }

    #[test]
    fn a_reader_that_is_gone_holds_up_no_process() {
        sys::signals::ignore(libc::SIGPIPE);
        let (reading, writing) = io::pipe().unwrap();
        drop(reading);
        let mut sink = Sink::new(OwnedFd::from(writing), Owner::Client(1), true, true, true);
        sink.write(Stream::Stderr, b"x");
        assert!(sink.dead() && sink.pending() == 0);
    }

    #[test]
    fn frames_are_dockers() {
        let (left, mut right) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut sink = Sink::new(OwnedFd::from(left), Owner::Connection(1), true, true, true);
        sink.write(Stream::Stderr, b"oops");
        let mut got = [0; 12];
        right.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"\x02\0\0\0\0\0\0\x04oops");
    }
}
