//! What the caller of a launch and the process that becomes the container's say to one another, each message one packet of a socket pair.
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
//! Where the pid namespace of a running container is joined, the process on the right stays outside of it until it has given up all that
//! the container shall not have, and then makes the one that goes on (`process::Last`): `Born`, after `Executing`. At any time `Failed`
//! instead. An end of file before `Executing` is a process that was killed.

use rustix::event::PollFlags;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys;

#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    Unmapped,
    /// From a process that has made the next one and ends: the pid of the one that goes on, a child of the caller. Its pidfd may come
    /// along.
    Born(i32),
    Console,
    Mounted,
    Ready {
        warnings: Vec<String>,
    },
    /// Milliseconds of each stage, in order.
    Executing {
        warnings: Vec<String>,
        timings: Vec<(String, f64)>,
    },
    Failed(Failure),
    GoOn,
}

/// A message and its descriptor; None: the other end is closed.
pub type Packet = Option<(Message, Option<OwnedFd>)>;

pub struct Channel {
    fd: OwnedFd,
}

impl Channel {
    pub fn pair() -> Result<(Channel, Channel)> {
        let mut fds = [-1; 2];
        // SAFETY: room for two descriptors, which are nobody else's afterwards.
        unsafe {
            sys::check(
                libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()).into(),
                "socketpair",
                None,
            )?;
            Ok((
                Channel {
                    fd: OwnedFd::from_raw_fd(fds[0]),
                },
                Channel {
                    fd: OwnedFd::from_raw_fd(fds[1]),
                },
            ))
        }
    }

    /// A connected SOCK_SEQPACKET socket.
    pub fn of(fd: OwnedFd) -> Channel {
        Channel { fd }
    }

    /// By write(2): the one call that every seccomp profile allows.
    pub fn send(&self, message: &Message) -> Result<()> {
        let bytes = serde_json::to_vec(message).map_err(|error| Failure::new(Code::Internal, format!("message: {error}")))?;
        // SAFETY: a buffer of that length.
        sys::check(
            unsafe { libc::write(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) } as libc::c_long,
            "write",
            None,
        )
        .map(drop)
    }

    /// With one descriptor.
    pub fn send_with(&self, message: &Message, fd: BorrowedFd) -> Result<()> {
        let bytes = serde_json::to_vec(message).map_err(|error| Failure::new(Code::Internal, format!("message: {error}")))?;
        send_descriptor(&self.fd, &bytes, fd)
    }

    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// False: nothing came within that time.
    pub fn await_readable(&self, timeout: Duration) -> bool {
        sys::process::is_ready(self.fd.as_fd(), PollFlags::IN, timeout)
    }

    /// As [`Channel::receive`], without waiting. None: nothing has come yet.
    pub fn poll(&self) -> Result<Option<Packet>> {
        if self.await_readable(Duration::ZERO) {
            self.receive().map(Some)
        } else {
            Ok(None)
        }
    }

    /// None: the other end is closed.
    pub fn receive(&self) -> Result<Packet> {
        let mut buffer = vec![0u8; 64 << 10];
        let mut control = [0u64; 8];
        let mut vector = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: an all-zero msghdr is valid; every pointer in it outlives the call. CMSG_* walk what the kernel filled.
        let (count, received) = unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_iov = &mut vector;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = std::mem::size_of_val(&control) as _;
            let count = loop {
                let count = libc::recvmsg(self.fd.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC);
                if count >= 0 || *libc::__errno_location() != libc::EINTR {
                    break count;
                }
            };
            let first = if count > 0 {
                libc::CMSG_FIRSTHDR(&header)
            } else {
                std::ptr::null_mut()
            };
            let rights = !first.is_null() && (*first).cmsg_level == libc::SOL_SOCKET && (*first).cmsg_type == libc::SCM_RIGHTS;
            (
                count,
                rights.then(|| OwnedFd::from_raw_fd(libc::CMSG_DATA(first).cast::<i32>().read_unaligned())),
            )
        };
        match count {
            0 => Ok(None),
            count if count > 0 => match serde_json::from_slice(&buffer[..count as usize]) {
                Ok(message) => Ok(Some((message, received))),
                Err(error) => Err(Failure::new(Code::Internal, format!("message: {error}"))),
            },
            // Killed with something of ours unread: as good as closed.
            _ if std::io::Error::last_os_error().raw_os_error() == Some(libc::ECONNRESET) => Ok(None),
            _ => Err(Failure::last("recvmsg", None)),
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

/// sendmsg(2) with one descriptor.
pub fn send_descriptor(socket: &OwnedFd, bytes: &[u8], fd: BorrowedFd) -> Result<()> {
    let mut control = [0u64; 4];
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr() as *mut _,
        iov_len: bytes.len(),
    };
    // SAFETY: an all-zero msghdr is valid; one descriptor fits `control`; every pointer outlives the call.
    let count = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(4) as _;
        let first = libc::CMSG_FIRSTHDR(&header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(first).cast::<i32>().write_unaligned(fd.as_raw_fd());
        libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_NOSIGNAL)
    };
    sys::check(count as libc::c_long, "sendmsg", None).map(drop)
}
