//! poll(2) over a set that is reused from call to call. rustix's own borrows every descriptor as long as the set lives.

use std::io;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// Some entries have events.
    Some,
    TimedOut,
    /// A signal came, and no entry has events.
    Interrupted,
}

impl Ready {
    pub fn some(self) -> bool {
        self == Ready::Some
    }
}

/// Waits for an event, at most `timeout` milliseconds; -1: without a limit.
pub fn wait(set: &mut [libc::pollfd], timeout: i32) -> io::Result<Ready> {
    // SAFETY: the kernel reads and writes as many entries as the slice has.
    match unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, timeout) } {
        1.. => Ok(Ready::Some),
        0 => Ok(Ready::TimedOut),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(Ready::Interrupted),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    #[test]
    fn readiness_and_timeout_are_distinguished() {
        let (reading, mut writing) = io::pipe().unwrap();
        let mut set = [libc::pollfd {
            fd: reading.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        }];
        assert_eq!(wait(&mut set, 0).unwrap(), Ready::TimedOut);
        writing.write_all(b"x").unwrap();
        assert_eq!(wait(&mut set, -1).unwrap(), Ready::Some);
        assert_eq!(set[0].revents, libc::POLLIN);
    }
}
