//! The pipes that carry the standard streams of a new process.

use crate::session::Session;
use crate::sink::Stream;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use tsbox_core::failure::{Failure, Result};
use tsbox_core::peer::protocol::Window;
use tsbox_runtime::Stdio;

pub struct Pipes {
    /// The container's read end and the shim's write end.
    stdin: (OwnedFd, Option<OwnedFd>),
    stdout: (OwnedFd, OwnedFd),
    stderr: (OwnedFd, OwnedFd),
}

impl Pipes {
    pub fn new(stdin: bool) -> Result<Pipes> {
        let pipe = || io::pipe().map(|(reading, writing)| (OwnedFd::from(reading), OwnedFd::from(writing)));
        let failed = |error: io::Error| Failure::io(&error, "pipe", None).at("stdio");
        let stdin = if stdin {
            let (reading, writing) = pipe().map_err(failed)?;
            (reading, Some(writing))
        } else {
            (OwnedFd::from(std::fs::File::open("/dev/null").map_err(failed)?), None)
        };
        Ok(Pipes {
            stdin,
            stdout: pipe().map_err(failed)?,
            stderr: pipe().map_err(failed)?,
        })
    }

    /// The stdio that the runtime gives the process: these pipes, or a terminal.
    pub fn stdio(pipes: Option<&Pipes>, size: Option<Window>) -> Stdio {
        match pipes {
            Some(pipes) => Stdio::Fds([pipes.stdin.0.as_raw_fd(), pipes.stdout.1.as_raw_fd(), pipes.stderr.1.as_raw_fd()]),
            None => Stdio::Terminal {
                rows: size.map_or(0, |size| size.rows),
                columns: size.map_or(0, |size| size.columns),
            },
        }
    }

    /// Moves the shim's ends into the session. The process's ends are closed here with `Pipes`, so that the shim sees when the last writer
    /// closes.
    pub fn join(session: &mut Session, pipes: Option<Pipes>, console: Option<OwnedFd>, stdin: bool) -> io::Result<()> {
        if let Some(pipes) = pipes {
            // The shim handles ready descriptors in reverse order: when both are ready, stdout comes before stderr, as programs mostly
            // write them.
            session.output(pipes.stderr.0, Stream::Stderr)?;
            session.output(pipes.stdout.0, Stream::Stdout)?;
            if let Some(writing) = pipes.stdin.1 {
                session.input(writing)?;
            }
        } else if let Some(console) = console {
            if stdin {
                session.input(console.try_clone()?)?;
            }
            session.output(console, Stream::Stdout)?;
        }
        Ok(())
    }
}
