//! From the daemon's words to a process on its way: the pipes, the log, and the runtime's launch.

use crate::log::Log;
use crate::session::Session;
use crate::sink::Stream;
use crate::starting::{Begun, Talk};
use serde::Deserialize;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::mount::Mount;
use tsbox_core::protocol::{Log as LogSettings, Window};
use tsbox_runtime::{Launch, Root, Spec, Stdio};

/// The compiled seccomp filter's file, which exec drivers put in the place of a profile (30 KB of JSON a start).
const FILTER: &str = "io.tsbox.seccomp-filter";
/// Where hooks find a `config.json`.
const BUNDLE: &str = "io.tsbox.bundle";

/// `ShimLaunch` of kernel/src/contract/launcher.ts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub seq: u32,
    pub launch: Format,
    pub rootfs: Vec<Mount>,
    pub terminal: Option<Window>,
    pub stdin: bool,
    pub stdin_once: bool,
    pub log: LogSettings,
    pub client: Option<Client>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    pub client: u32,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// None: Docker's.
    #[serde(default)]
    pub detach_keys: Option<Vec<u8>>,
    /// It gets the process's exit code with the end of the output.
    #[serde(default)]
    pub answer: bool,
}

impl Start {
    /// A process that names no score has the usual one, and not its shim's, which is protected.
    pub fn expose(&mut self) {
        if let Some(process) = self.launch.spec.as_mut().and_then(|spec| spec.process.as_mut()) {
            process.oom_score_adj.get_or_insert(0);
        }
    }
}

/// `Launch` of kernel/src/contract/exec.ts.
#[derive(Deserialize)]
pub struct Format {
    kind: String,
    spec: Option<Spec>,
}

/// `hold`: see [`Launch::hold`].
pub fn begin(id: &str, start: &Start, hold: &OwnedFd) -> Result<Begun> {
    let since = Instant::now();
    let Some(spec) = start.launch.spec.as_ref().filter(|_| start.launch.kind == "oci") else {
        return Err(Failure::new(
            Code::Unsupported,
            format!("this shim starts launches of kind oci, not {}", start.launch.kind),
        ));
    };
    let filter = spec.annotation(FILTER).map(read_filter).transpose()?;
    let log = Log::open(start.log.clone()).map_err(|error| Failure::io(&error, "open", Some(&start.log.path)).at("log"))?;
    let session =
        Session::new(log, start.terminal.is_some(), start.stdin_once).map_err(|error| Failure::io(&error, "mmap", None).at("stdio"))?;
    let pipes = if start.terminal.is_none() {
        Some(Pipes::new(start.stdin)?)
    } else {
        None
    };
    let launching = tsbox_runtime::begin(&Launch {
        id,
        spec,
        root: Root::Mounts(&start.rootfs),
        stdio: Pipes::stdio(pipes.as_ref(), start.terminal),
        seccomp: filter.as_deref(),
        hold: Some(hold.as_fd()),
        bundle: spec.annotation(BUNDLE).unwrap_or_default(),
    })?
    .hold_mounts();
    Ok(Begun {
        talk: Talk::Launching(launching),
        session,
        pipes,
        since,
    })
}

/// A compiled seccomp filter.
pub fn read_filter(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::io(&error, "read", Some(path)).at("seccomp"))
}

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
