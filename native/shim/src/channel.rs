//! A connection that carries frames: to the launcher, or to a guest of the shim's socket that has not sent its request yet.

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use tsbox_core::peer::protocol::{FromShim, shim};
use tsbox_core::peer::wire::{Fill, Frame, Reader, Writer};

pub struct Channel {
    pub socket: OwnedFd,
    reader: Reader,
    writer: Writer,
}

impl Channel {
    pub fn new(socket: OwnedFd) -> io::Result<Channel> {
        nonblocking(&socket)?;
        Ok(Channel {
            socket,
            reader: Reader::default(),
            writer: Writer::default(),
        })
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub fn events(&self) -> i16 {
        libc::POLLIN | if self.writer.pending() > 0 { libc::POLLOUT } else { 0 }
    }

    /// Returns all frames that have arrived; an error when the peer is gone.
    pub fn receive(&mut self) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        let ended = self.reader.fill(&self.socket)? == Fill::End;
        while let Some(frame) = self.reader.take()? {
            frames.push(frame);
        }
        if ended && frames.is_empty() {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(frames)
        }
    }

    /// Sends now what the socket takes, and the rest when the socket is writable. A peer that died finds the lost events on disk.
    pub fn send(&mut self, event: &FromShim) {
        self.queue(event);
        self.flush();
    }

    /// Queues an event, which is sent with the next one, so that the receiver wakes once for both.
    pub fn queue(&mut self, event: &FromShim) {
        self.writer.json(shim::EVENT, 0, event);
    }

    pub fn flush(&mut self) {
        let _ = self.writer.flush(&self.socket);
    }
}

pub fn nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&fd)?;
    Ok(fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}
