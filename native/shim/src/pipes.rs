//! What carries the standard streams of a process that is started.

use crate::session::Session;
use crate::sink::Stream;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use tsbox_core::failure::{Failure, Result};
use tsbox_core::peer::protocol::Window;
use tsbox_runtime::Stdio;

pub struct Pipes {
    /// What the container reads from, and the shim's end of it.
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

    /// What the runtime gives the process: these, or a terminal.
    pub fn stdio(pipes: Option<&Pipes>, size: Option<Window>) -> Stdio {
        match pipes {
            Some(pipes) => Stdio::Fds([pipes.stdin.0.as_raw_fd(), pipes.stdout.1.as_raw_fd(), pipes.stderr.1.as_raw_fd()]),
            None => Stdio::Terminal {
                rows: size.map_or(0, |size| size.rows),
                columns: size.map_or(0, |size| size.columns),
            },
        }
    }

    /// The shim keeps its ends; the process's are closed here with `Pipes`, so that the end of the last writer is seen.
    pub fn join(session: &mut Session, pipes: Option<Pipes>, console: Option<OwnedFd>, stdin: bool) -> io::Result<()> {
        if let Some(pipes) = pipes {
            // The shim goes over what is ready backwards: where both are, output comes before errors, as programs mostly write them.
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
