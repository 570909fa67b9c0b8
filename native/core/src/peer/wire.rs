//! The frames that tsbox's processes exchange over unix sockets: client and launcher, launcher and daemon, launcher and shim.
//!
//! ```text
//! ┌────────────┬─────────────┬──────────┬───────────┬─────────┬──────────────┐
//! │ length u32 │ channel u32 │ kind u8  │ fds u8    │ zero u16│ payload …    │   little endian; length counts only the payload
//! └────────────┴─────────────┴──────────┴───────────┴─────────┴──────────────┘
//! ```
//! `fds` descriptors travel with the frame's first byte (SCM_RIGHTS). The daemon, which is Node, can neither send nor receive any.

use crate::sys::messages::{self, MOST_FDS};
use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub const HEADER: usize = 12;
/// No regular frame is longer: argv and environment have at most 2 MiB on Linux, a spec with all its mounts about 100 KiB.
pub const LONGEST: usize = 16 << 20;

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub channel: u32,
    pub payload: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// The result of one read.
#[derive(PartialEq, Eq)]
pub enum Fill {
    Bytes,
    WouldBlock,
    End,
}

/// Reads bytes and descriptors from a socket and splits them into frames.
#[derive(Default)]
pub struct Reader {
    bytes: Vec<u8>,
    taken: usize,
    fds: VecDeque<OwnedFd>,
}

impl Reader {
    /// Reads once. A reader holds only the bytes of an incomplete frame: a launcher has a reader for every idle container.
    pub fn fill(&mut self, socket: impl AsFd) -> io::Result<Fill> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        // Not zeroed: stack pages that are not written to cost nothing.
        let mut room = [const { MaybeUninit::<u8>::uninit() }; CHUNK];
        // SAFETY: bytes have no invalid values, and only those that the kernel wrote are read.
        let chunk = unsafe { &mut *(&raw mut room as *mut [u8; CHUNK]) };
        match messages::receive(socket, chunk, &mut self.fds) {
            Ok(0) => Ok(Fill::End),
            Ok(count) => {
                self.bytes.extend_from_slice(&chunk[..count]);
                // Erase the copy: a command line and an environment may contain secrets, and a forked child can read the memory that it
                // inherits.
                chunk[..count].fill(0);
                std::hint::black_box(&chunk);
                Ok(Fill::Bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Fill::WouldBlock),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Fill::End),
            Err(error) => Err(error),
        }
    }

    /// The next complete frame. An error means that the peer does not speak this protocol.
    pub fn take(&mut self) -> io::Result<Option<Frame>> {
        let rest = &self.bytes[self.taken..];
        let Some(header) = rest.get(..HEADER) else { return Ok(None) };
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (length, channel, kind, fds) = (word(0) as usize, word(4), header[8], header[9] as usize);
        if length > LONGEST || fds > MOST_FDS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame"));
        }
        let Some(payload) = rest.get(HEADER..HEADER + length) else {
            return Ok(None);
        };
        if self.fds.len() < fds {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors are missing"));
        }
        let frame = Frame {
            kind,
            channel,
            payload: payload.to_vec(),
            fds: self.fds.drain(..fds).collect(),
        };
        // Erase this copy, too.
        let end = self.taken + HEADER + length;
        self.bytes[self.taken..end].fill(0);
        self.taken = end;
        if self.taken == self.bytes.len() {
            self.bytes = Vec::new();
            self.taken = 0;
        }
        Ok(Some(frame))
    }
}

/// The maximum number of bytes of one read, on the stack.
const CHUNK: usize = 16 << 10;

/// Frames that wait for a socket that may not take them all at once.
#[derive(Default)]
pub struct Writer {
    queue: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    /// Bytes of the first frame that are sent.
    sent: usize,
    length: usize,
}

impl Writer {
    /// Queues a frame. The receiver would close the connection for a payload longer than [`LONGEST`], so such a frame is dropped and the
    /// result is false.
    pub fn push(&mut self, kind: u8, channel: u32, payload: &[u8], fds: Vec<OwnedFd>) -> bool {
        if payload.len() > LONGEST || fds.len() > MOST_FDS {
            return false;
        }
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&channel.to_le_bytes());
        bytes.extend_from_slice(&[kind, fds.len() as u8, 0, 0]);
        bytes.extend_from_slice(payload);
        self.length += bytes.len();
        self.queue.push_back((bytes, fds));
        true
    }

    pub fn json<T: serde::Serialize>(&mut self, kind: u8, channel: u32, message: &T) -> bool {
        self.push(kind, channel, &serde_json::to_vec(message).unwrap_or_default(), Vec::new())
    }

    /// Bytes that are not sent yet.
    pub fn pending(&self) -> usize {
        self.length
    }

    /// Sends as much as the socket takes. True: nothing is left.
    pub fn flush(&mut self, socket: impl AsFd) -> io::Result<bool> {
        while let Some((bytes, fds)) = self.queue.front_mut() {
            let lent: Vec<BorrowedFd> = fds.iter().map(AsFd::as_fd).collect();
            match messages::send(&socket, &bytes[self.sent..], &lent) {
                Ok(count) => {
                    fds.clear();
                    self.sent += count;
                    self.length -= count;
                    if self.sent == bytes.len() {
                        bytes.fill(0);
                        self.queue.pop_front();
                        self.sent = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_frame_arrives_whole_with_its_descriptors() {
        let (left, right) = UnixStream::pair().unwrap();
        let (reading, writing) = std::io::pipe().unwrap();
        let mut writer = Writer::default();
        writer.push(7, 9, b"first", vec![OwnedFd::from(writing)]);
        writer.push(8, 10, &vec![b'x'; 300_000], Vec::new());
        left.set_nonblocking(true).unwrap();
        right.set_nonblocking(true).unwrap();
        let mut reader = Reader::default();
        let mut frames = Vec::new();
        while frames.len() < 2 {
            writer.flush(&left).unwrap();
            assert!(reader.fill(&right).unwrap() != Fill::End);
            while let Some(frame) = reader.take().unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(
            (frames[0].kind, frames[0].channel, frames[0].payload.as_slice()),
            (7, 9, b"first".as_slice())
        );
        assert_eq!(frames[1].payload.len(), 300_000);
        use std::io::{Read, Write};
        let mut end = std::fs::File::from(frames[0].fds.pop().unwrap());
        end.write_all(b"through").unwrap();
        drop(end);
        let mut text = String::new();
        std::fs::File::from(OwnedFd::from(reading)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert_eq!(writer.pending(), 0);
    }

    #[test]
    fn half_a_frame_is_kept_and_the_end_is_reported() {
        let (left, right) = UnixStream::pair().unwrap();
        use std::io::Write;
        let mut reader = Reader::default();
        (&left).write_all(&[9, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, b'h', b'a']).unwrap();
        assert!(reader.fill(&right).unwrap() == Fill::Bytes);
        assert!(reader.take().unwrap().is_none());
        drop(left);
        assert!(reader.fill(&right).unwrap() == Fill::End);
        assert!(reader.take().unwrap().is_none());
    }

    #[test]
    fn descriptors_that_do_not_come_are_an_error() {
        let (left, right) = UnixStream::pair().unwrap();
        use std::io::Write;
        (&left).write_all(&[0, 0, 0, 0, 1, 0, 0, 0, 7, 2, 0, 0]).unwrap();
        let mut reader = Reader::default();
        reader.fill(&right).unwrap();
        assert!(reader.take().is_err());
    }

    #[test]
    fn a_payload_beyond_the_bound_is_not_sent() {
        let mut writer = Writer::default();
        assert!(!writer.push(1, 1, &vec![0; LONGEST + 1], Vec::new()));
        assert_eq!(writer.pending(), 0);
        assert!(writer.push(1, 1, &vec![0; LONGEST], Vec::new()));
    }

    #[test]
    fn a_peer_that_never_reads_blocks_no_sender() {
        let (left, _right) = UnixStream::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        let mut writer = Writer::default();
        writer.push(1, 1, &vec![0; 4 << 20], Vec::new());
        assert!(!writer.flush(&left).unwrap());
        assert!(writer.pending() > 0);
    }

    #[test]
    fn a_length_beyond_reason_is_refused_before_it_is_awaited() {
        let (left, right) = UnixStream::pair().unwrap();
        use std::io::Write;
        (&left).write_all(&[0xff; HEADER]).unwrap();
        let mut reader = Reader::default();
        reader.fill(&right).unwrap();
        assert!(reader.take().is_err());
    }
}
