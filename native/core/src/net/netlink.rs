//! Netlink messages (RFC 3549, linux/netlink.h): building, sending, and parsing of answers.

use crate::failure::{Failure, Result};
use crate::sys::{Call, retry};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with, sockopt};
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd};

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NESTED: u16 = 1 << 15;
/// NLMSGERR_ATTR_MSG: the kernel's error message.
const WORDS: u16 = 1;

pub const REQUEST: u16 = 1;
pub const ACK: u16 = 4;
pub const EXCLUSIVE: u16 = 0x200;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;
pub const DUMP: u16 = 0x300;

/// A message in construction.
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// `family` is the fixed header of the message's kind.
    pub fn new(kind: u16, flags: u16, family: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(family);
        Message { bytes }
    }

    pub fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// Adds text with a NUL at its end, which most attributes need.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes)
    }

    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds a big-endian number, as nftables uses them.
    pub fn big(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Adds nested attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.put(kind | NESTED, &[]);
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Adds a fixed header inside an attribute, such as a veth's peer has.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    pub fn flag(&mut self, flag: u16) {
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | flag;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// The attributes in `bytes`: kind and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|attribute| attribute.0 == kind).map(|attribute| attribute.1)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open(protocol: i32) -> Result<Self> {
        let protocol = NonZeroU32::new(protocol as u32).map(Protocol::from_raw);
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).call("socket", Some("netlink"))?;
        // Older kernels know neither option, which does no harm. The answer to a large transaction may contain many errors.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            let on: i32 = 1;
            // SAFETY: the kernel reads one int. rustix has no options of netlink.
            unsafe {
                libc::setsockopt(
                    fd.as_raw_fd(),
                    libc::SOL_NETLINK,
                    option,
                    (&raw const on).cast(),
                    size_of::<i32>() as u32,
                )
            };
        }
        let _ = sockopt::set_socket_recv_buffer_size_force(&fd, 4 << 20);
        let _ = sockopt::set_socket_send_buffer_size_force(&fd, 16 << 20);
        Ok(Socket { fd, sequence: 0 })
    }

    /// Sends a message and waits until it is done. `what` and `subject` are for the failure's message: the operation and its object.
    pub fn request(&mut self, mut message: Message, what: &str, subject: &str) -> Result<()> {
        message.flag(REQUEST | ACK);
        self.sequence += 1;
        let sequence = self.sequence;
        self.send(&message.finish(sequence))?;
        self.answers(sequence, what, subject, |_, _| {})
    }

    /// Sends a message and collects the answers: each answer's kind and payload.
    pub fn gather(&mut self, mut message: Message, flags: u16, what: &str, subject: &str) -> Result<Vec<(u16, Vec<u8>)>> {
        message.flag(REQUEST | flags);
        self.sequence += 1;
        let sequence = self.sequence;
        self.send(&message.finish(sequence))?;
        let mut answers = Vec::new();
        self.answers(sequence, what, subject, |kind, payload| answers.push((kind, payload.to_vec())))?;
        Ok(answers)
    }

    /// Sends messages as one; the last is acknowledged. Returns the first error of any of them.
    pub fn transaction(&mut self, messages: Vec<Message>, acknowledged: usize, what: &str) -> Result<()> {
        let mut bytes = Vec::new();
        let mut last = 0;
        for (at, mut message) in messages.into_iter().enumerate() {
            self.sequence += 1;
            if at == acknowledged {
                message.flag(ACK);
                last = self.sequence;
            }
            message.flag(REQUEST);
            bytes.extend(message.finish(self.sequence));
        }
        self.send(&bytes)?;
        self.answers(last, what, "nftables", |_, _| {})
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        send(&self.fd, bytes, SendFlags::empty()).call("sendmsg", Some("netlink")).map(drop)
    }

    fn answers(&mut self, until: u32, what: &str, subject: &str, mut each: impl FnMut(u16, &[u8])) -> Result<()> {
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            let (count, _) = retry(|| recv(&self.fd, buffer.as_mut_slice(), RecvFlags::empty())).call("recvmsg", Some("netlink"))?;
            for (kind, sequence, payload) in messages(&buffer[..count]) {
                match kind {
                    ERROR => {
                        check(payload, what, subject)?;
                        if sequence == until {
                            return Ok(());
                        }
                    }
                    DONE => return Ok(()),
                    _ => each(kind, payload),
                }
            }
        }
    }
}

/// The messages in `bytes`: kind, sequence number and payload.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..HEADER)?;
        let length = (u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize).clamp(HEADER, bytes.len());
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        let payload = &bytes[HEADER..length];
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, sequence, payload))
    })
}

/// For [`crate::fuzzing`]: decodes everything that is read from an answer.
#[cfg(any(feature = "fuzzing", all(test, feature = "layer")))]
pub fn decode(bytes: &[u8]) {
    fn nested(bytes: &[u8], depth: usize) {
        for (_, value) in attributes(bytes) {
            text(value);
            if depth > 0 {
                nested(value, depth - 1);
            }
        }
    }
    for (_, _, payload) in messages(bytes) {
        let _ = check(payload, "decode", "fuzzing");
        nested(payload, 4);
    }
}

/// nlmsgerr: the errno, the header of the request (all of the request, if the kernel ignores NETLINK_CAP_ACK), then the message.
fn check(payload: &[u8], what: &str, subject: &str) -> Result<()> {
    let errno = payload.get(..4).map_or(0, |bytes| {
        i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).wrapping_neg()
    });
    if errno == 0 {
        return Ok(());
    }
    let mut failure = Failure::os(errno, what, Some(subject));
    if let Some(words) = payload.get(4 + HEADER..).and_then(|rest| attribute(rest, WORDS)) {
        failure.message.push_str(&format!(": {}", text(words)));
    }
    Err(failure)
}
