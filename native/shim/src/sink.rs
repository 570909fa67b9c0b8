//! Somebody who reads what the container writes: a client's own descriptor, or a connection to the shim's socket.
//!
//! A client's descriptor shares its file description with the user's shell, so it is never made non-blocking itself. What can block is
//! opened anew through /proc/self/fd (pipes, terminals), or written with MSG_DONTWAIT (sockets); a regular file can't block and keeps the
//! offset it shares.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Beyond this a reader who does not read holds up the container, as a full pipe would.
pub const FULL: usize = 256 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Stdout = 1,
    Stderr = 2,
}

/// Who it belongs to: a client of the launcher, or a connection by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Client(u32),
    Connection(u64),
}

/// A descriptor that can be used without ever blocking.
pub struct Unblocked {
    pub fd: OwnedFd,
    socket: bool,
}

impl Unblocked {
    /// A descriptor of the shim's own, which nobody shares and which is non-blocking already. (A terminal's master must not be opened anew:
    /// that makes another terminal.)
    pub fn own(fd: OwnedFd) -> Unblocked {
        Unblocked { fd, socket: false }
    }

    /// A descriptor that came from somebody else.
    pub fn new(fd: OwnedFd, access: i32) -> Unblocked {
        // SAFETY: stat is plain data that fstat fills.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let kind = if unsafe { libc::fstat(fd.as_raw_fd(), &mut stat) } == 0 {
            stat.st_mode & libc::S_IFMT
        } else {
            0
        };
        // SAFETY: isatty takes any number.
        let terminal = kind == libc::S_IFCHR && unsafe { libc::isatty(fd.as_raw_fd()) } == 1;
        if kind != libc::S_IFIFO && !terminal {
            return Unblocked {
                fd,
                socket: kind == libc::S_IFSOCK,
            };
        }
        let path = format!("/proc/self/fd/{}\0", fd.as_raw_fd());
        // SAFETY: a null-terminated path; the descriptor is ours.
        let again = unsafe { libc::open(path.as_ptr().cast(), access | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC) };
        Unblocked {
            fd: if again >= 0 { unsafe { OwnedFd::from_raw_fd(again) } } else { fd },
            socket: false,
        }
    }

    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        // SAFETY: a buffer of that length.
        let count = unsafe {
            if self.socket {
                libc::recv(self.fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT)
            } else {
                libc::read(self.fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len())
            }
        };
        if count < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(count as usize)
        }
    }

    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: a buffer of that length.
        let count = unsafe {
            if self.socket {
                libc::send(
                    self.fd.as_raw_fd(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                )
            } else {
                libc::write(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len())
            }
        };
        if count < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(count as usize)
        }
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
    /// Dead, since the reading end is closed.
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

    /// Sends what is left and the descriptor takes.
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

    /// Nobody reads there any more, for which SIGPIPE would end a program.
    pub fn broken(&self) -> bool {
        self.broken
    }

    /// Its reader is gone: it takes nothing any more and holds up nobody.
    pub fn dead(&self) -> bool {
        self.dead
    }
}

/// A connection that is closed with unread input in it is reset, and its reader may lose the output: so no more is taken, and what has come
/// is read.
impl Drop for Sink {
    fn drop(&mut self) {
        if !self.to.socket || !matches!(self.owner, Owner::Connection(_)) {
            return;
        }
        // SAFETY: a descriptor that is open.
        unsafe { libc::shutdown(self.fd(), libc::SHUT_RDWR) };
        let mut room = [0; 4096];
        while self.to.read(&mut room).is_ok_and(|count| count > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_reader_who_does_not_read_never_blocks_and_loses_nothing() {
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
            unsafe { libc::poll(&mut polled, 1, -1) };
            sink.flush();
        }
        assert_eq!(reader.join().unwrap(), vec![7u8; 500_000]);
    }

    #[test]
    fn a_reader_who_is_gone_holds_up_nobody() {
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
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
