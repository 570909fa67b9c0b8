//! The standard streams of a new process.

use std::os::fd::RawFd;

/// Descriptors for 0, 1 and 2; or a pseudo-terminal, made in the container's own devpts, whose master is returned.
#[derive(Clone, Copy)]
pub enum Stdio {
    Fds([RawFd; 3]),
    Terminal { rows: u16, columns: u16 },
}
