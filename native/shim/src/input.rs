//! The container's standard input and the peers that write to it.

use crate::sink::{Owner, Unblocked};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Docker's default detach keys: ctrl-P, ctrl-Q.
pub const DETACH: [u8; 2] = [0x10, 0x11];

/// A peer that writes to the container's stdin.
pub struct Feeder {
    from: Unblocked,
    pub owner: Owner,
    /// The detach keys if the input comes from a terminal; empty: no detach keys.
    keys: Vec<u8>,
    /// How many of the detach keys have been typed.
    typed: usize,
}

pub enum Fed {
    Bytes(Vec<u8>),
    Nothing,
    /// The detach keys were typed. The bytes before them belong to the container.
    Detached(Vec<u8>),
    End,
}

impl Feeder {
    pub fn new(fd: OwnedFd, owner: Owner, keys: Vec<u8>) -> Feeder {
        Feeder {
            from: Unblocked::new(fd, libc::O_RDONLY),
            owner,
            keys,
            typed: 0,
        }
    }

    pub fn fd(&self) -> RawFd {
        self.from.fd.as_raw_fd()
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Fed {
        match self.from.read(buffer) {
            Ok(0) => Fed::End,
            Ok(count) if !self.keys.is_empty() => self.watch(&buffer[..count]),
            Ok(count) => Fed::Bytes(buffer[..count].to_vec()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Fed::Nothing,
            Err(_) => Fed::End,
        }
    }

    /// Holds back what may be the start of the detach keys, and passes it on when other keys follow.
    fn watch(&mut self, typed: &[u8]) -> Fed {
        let mut through = Vec::with_capacity(typed.len() + self.typed);
        for key in typed {
            while self.typed > 0 && *key != self.keys[self.typed] {
                // Hold back only the longest suffix that is still a start of the detach keys.
                let held = &self.keys[..self.typed];
                let kept = (0..self.typed)
                    .rev()
                    .find(|length| held.ends_with(&self.keys[..*length]))
                    .unwrap_or(0);
                through.extend_from_slice(&held[..self.typed - kept]);
                self.typed = kept;
            }
            if *key != self.keys[self.typed] {
                through.push(*key);
                continue;
            }
            self.typed += 1;
            if self.typed == self.keys.len() {
                return Fed::Detached(through);
            }
        }
        if through.is_empty() { Fed::Nothing } else { Fed::Bytes(through) }
    }
}

/// The write end of the container's stdin, or its terminal.
pub struct Input {
    to: Unblocked,
    pending: Vec<u8>,
    sent: usize,
    /// No more bytes will come: close when all is written.
    closing: bool,
}

impl Input {
    pub fn new(fd: OwnedFd) -> Input {
        Input {
            to: Unblocked::own(fd),
            pending: Vec::new(),
            sent: 0,
            closing: false,
        }
    }

    pub fn fd(&self) -> RawFd {
        self.to.fd.as_raw_fd()
    }

    pub fn full(&self) -> bool {
        self.sent < self.pending.len()
    }

    pub fn close(&mut self) {
        self.closing = true;
    }

    pub fn write(&mut self, bytes: &[u8]) -> Alive {
        self.pending.extend_from_slice(bytes);
        self.flush()
    }

    pub fn flush(&mut self) -> Alive {
        while self.full() {
            match self.to.write(&self.pending[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Alive::Yes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Alive::No,
            }
        }
        self.pending.clear();
        self.sent = 0;
        if self.closing { Alive::No } else { Alive::Yes }
    }
}

/// Whether the container's stdin still accepts bytes.
#[derive(PartialEq, Eq)]
pub enum Alive {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(keys: &[u8], parts: &[&[u8]]) -> (Vec<u8>, bool) {
        let (reading, _writing) = io::pipe().unwrap();
        let mut feeder = Feeder::new(OwnedFd::from(reading), Owner::Client(1), keys.to_vec());
        let mut all = Vec::new();
        for part in parts {
            match feeder.watch(part) {
                Fed::Bytes(bytes) => all.extend(bytes),
                Fed::Detached(bytes) => {
                    all.extend(bytes);
                    return (all, true);
                }
                _ => {}
            }
        }
        (all, false)
    }

    #[test]
    fn detach_keys_count_over_two_reads_and_are_handed_on_when_they_were_none() {
        assert_eq!(feed(&DETACH, &[b"ls\n"]), (b"ls\n".to_vec(), false));
        assert_eq!(feed(&DETACH, &[b"a\x10", b"\x11"]), (b"a".to_vec(), true));
        assert_eq!(feed(&DETACH, &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
        assert_eq!(feed(&DETACH, &[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
    }

    #[test]
    fn detach_keys_of_any_length_and_with_repeats() {
        assert_eq!(feed(b"x", &[b"ab", b"cx"]), (b"abc".to_vec(), true));
        assert_eq!(feed(b"aab", &[b"aa", b"ab"]), (b"a".to_vec(), true));
        assert_eq!(feed(b"aab", &[b"aac"]), (b"aac".to_vec(), false));
        assert_eq!(feed(b"abac", &[b"abab", b"ac"]), (b"ab".to_vec(), true));
    }
}
