//! The messages between the caller of a launch and the process that becomes the container's; each is one packet of a socket pair.
//!
//! ```text
//! launch                                        init
//!   │ cgroups, limits                             ┊
//!   │ clone3 ────────────────────────────────────▶│ enters its v1 cgroups
//!   │ ◀──────────── Unmapped (new user namespace) │
//!   │ writes the maps                             │
//!   │ GoOn ──────────────────────────────────────▶│ joins and unshares the other namespaces
//!   │                                             │ root, mounts, devices
//!   │ ◀───────── Console (a terminal; descriptor) │
//!   │ ◀──────────────── Mounted (there are hooks) │
//!   │ prestart, createRuntime                     │
//!   │ GoOn ──────────────────────────────────────▶│ createContainer, masks, pivot_root, names, limits
//!   │ ◀────────────────────── Ready (`create`)    │ waits at its gate; from `start` on that connection is the channel
//!   │                                             │ startContainer
//!   │ ◀──────────────────────────────── Executing │ user, capabilities, seccomp
//!   │ ◀───────────────────── (end of file: exec)  │ execve
//! ```
//! When the pid namespace of a running container is joined, the process on the right stays outside of that namespace until it has given up
//! everything that the container must not have. Then it forks the process that goes on (`process::Last`) and sends `Forked`, after
//! `Executing`. `Failed` may come at any time instead. An end of file before `Executing` means that the process was killed.

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys::{self, Call, messages};

#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    Unmapped,
    /// Sent by a process that has forked the next one and ends: the pid of the new process, which is a child of the caller. Its pidfd may
    /// come along.
    Forked(i32),
    Console,
    Mounted,
    Ready {
        warnings: Vec<String>,
    },
    /// The duration of each stage in milliseconds, in order.
    Executing {
        warnings: Vec<String>,
        timings: Vec<(String, f64)>,
    },
    Failed(Failure),
    GoOn,
}

/// The maximum length of a message in bytes.
const LONGEST: usize = 64 << 10;

/// A message and its descriptor; None: the peer has closed the connection.
pub type Packet = Option<(Message, Option<OwnedFd>)>;

pub struct Channel {
    fd: OwnedFd,
}

impl Channel {
    pub fn pair() -> Result<(Channel, Channel)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).call("socketpair", None)?;
        Ok((Channel { fd: ours }, Channel { fd: theirs }))
    }

    /// Wraps a connected SOCK_SEQPACKET socket.
    pub fn of(fd: OwnedFd) -> Channel {
        Channel { fd }
    }

    /// Sends with write(2), the one call that every seccomp profile allows.
    pub fn send(&self, message: &Message) -> Result<()> {
        let bytes = encoded(message)?;
        rustix::io::write(&self.fd, &bytes).call("write", None).map(drop)
    }

    /// Sends a message with one descriptor.
    pub fn send_with(&self, message: &Message, fd: BorrowedFd) -> Result<()> {
        let bytes = encoded(message)?;
        send_descriptor(&self.fd, &bytes, fd)
    }

    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Returns false if nothing arrived within the timeout.
    pub fn await_readable(&self, timeout: Duration) -> bool {
        sys::process::is_ready(self.fd.as_fd(), PollFlags::IN, timeout)
    }

    /// Like [`Channel::receive`], without waiting. None: nothing has arrived yet.
    pub fn poll(&self) -> Result<Option<Packet>> {
        if self.await_readable(Duration::ZERO) {
            self.receive().map(Some)
        } else {
            Ok(None)
        }
    }

    /// None: the peer has closed the connection.
    pub fn receive(&self) -> Result<Packet> {
        let mut buffer = vec![0u8; LONGEST];
        let mut received = Vec::new();
        match messages::receive(&self.fd, &mut buffer, &mut received) {
            Ok(0) => Ok(None),
            Ok(count) => match serde_json::from_slice(&buffer[..count]) {
                Ok(message) => Ok(Some((message, received.pop()))),
                Err(error) => Err(Failure::new(Code::Internal, format!("message: {error}"))),
            },
            // The peer was killed before it read a message of ours, which counts as closed.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error).call("recvmsg", None),
        }
    }

    pub fn await_go_on(&self) -> Result<()> {
        match self.receive()? {
            Some((Message::GoOn, _)) => Ok(()),
            Some((Message::Failed(failure), _)) => Err(failure),
            _ => Err(Failure::new(Code::Canceled, "the launch was given up")),
        }
    }
}

/// Encodes a message. A failure may quote names and paths of any length, but the receiver has room for [`LONGEST`] bytes, so a failure is
/// shortened.
fn encoded(message: &Message) -> Result<Vec<u8>> {
    let bytes = match message {
        Message::Failed(failure) => serde_json::to_vec(&Message::Failed(failure.clone().bounded())),
        other => serde_json::to_vec(other),
    };
    bytes.map_err(|error| Failure::new(Code::Internal, format!("message: {error}")))
}

/// Calls sendmsg(2) with one descriptor.
pub fn send_descriptor(socket: &OwnedFd, bytes: &[u8], fd: BorrowedFd) -> Result<()> {
    messages::send(socket, bytes, &[fd]).call("sendmsg", None).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_arrives_whatever_it_quotes() {
        let (ours, theirs) = Channel::pair().unwrap();
        let failure = Failure::os(libc::E2BIG, "execve", Some(&"\u{1}".repeat(200_000)));
        ours.send(&Message::Failed(failure)).unwrap();
        let Some((Message::Failed(failure), _)) = theirs.receive().unwrap() else {
            panic!("no failure arrived")
        };
        assert_eq!((failure.code, failure.errno), (Code::InvalidArgument, Some(libc::E2BIG)));
    }
}
