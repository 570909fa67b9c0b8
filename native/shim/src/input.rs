//! The container's standard input, and those who feed it.

use crate::sink::{Owner, Unblocked};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Docker's default detach keys: ctrl-P, ctrl-Q.
const DETACH: [u8; 2] = [0x10, 0x11];

/// Somebody who writes to the container.
pub struct Feeder {
    from: Unblocked,
    pub owner: Owner,
    /// Keys of a terminal: the detach keys count.
    keys: bool,
    /// How many of the detach keys have come.
    typed: usize,
}

pub enum Fed {
    Bytes(Vec<u8>),
    Nothing,
    Detached,
    End,
}

impl Feeder {
    pub fn new(fd: OwnedFd, owner: Owner, keys: bool) -> Feeder {
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
            Ok(count) if self.keys => self.watch(&buffer[..count]),
            Ok(count) => Fed::Bytes(buffer[..count].to_vec()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Fed::Nothing,
            Err(_) => Fed::End,
        }
    }

    /// Holds back what may be the start of the detach keys, and hands it on when it was not.
    fn watch(&mut self, keys: &[u8]) -> Fed {
        let mut through = Vec::with_capacity(keys.len() + 1);
        for key in keys {
            if *key == DETACH[self.typed] {
                self.typed += 1;
                if self.typed == DETACH.len() {
                    return Fed::Detached;
                }
                continue;
            }
            through.extend_from_slice(&DETACH[..self.typed]);
            self.typed = usize::from(*key == DETACH[0]);
            if self.typed == 0 {
                through.push(*key);
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
    /// No more will come: close when all is written.
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

/// Whether the container can still be written to.
#[derive(PartialEq, Eq)]
pub enum Alive {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(parts: &[&[u8]]) -> (Vec<u8>, bool) {
        let (reading, _writing) = io::pipe().unwrap();
        let mut feeder = Feeder::new(OwnedFd::from(reading), Owner::Client(1), true);
        let mut all = Vec::new();
        for part in parts {
            match feeder.watch(part) {
                Fed::Bytes(bytes) => all.extend(bytes),
                Fed::Detached => return (all, true),
                _ => {}
            }
        }
        (all, false)
    }

    #[test]
    fn detach_keys_count_over_two_reads_and_are_handed_on_when_they_were_none() {
        assert_eq!(feed(&[b"ls\n"]), (b"ls\n".to_vec(), false));
        assert_eq!(feed(&[b"a\x10", b"\x11"]).1, true);
        assert_eq!(feed(&[b"\x10\x10\x11"]).1, true);
        assert_eq!(feed(&[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
    }
}
