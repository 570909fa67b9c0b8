//! Execs: further processes in the running container, each with stdio of its own. Nothing of one is left when its end is told and its
//! output is read.

use crate::client::Client;
use crate::filter::read_filter;
use crate::log::Log;
use crate::pipes::Pipes;
use crate::process::Process;
use crate::session::{Part, Session};
use crate::starting::{Begun, Starting, Talk, Target, Wanted};
use crate::status;
use serde::Deserialize;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::time::Instant;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::mount::Mount;
use tsbox_core::peer::protocol::{Exit, FromShim, Window};
use tsbox_runtime::{Cgroup, Exec as Join, Launch, Process as OciProcess, Root, Spec, Stdio, told_by_end};

/// `ShimExec` of kernel/src/contract/launcher.ts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub seq: u32,
    pub exec: String,
    launch: Format,
    terminal: Option<Window>,
    pub stdin: bool,
    pub client: Option<Client>,
    /// How much of the output is told with the end.
    capture: Option<usize>,
}

/// `ExecLaunch` of kernel/src/contract/exec.ts.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Format {
    /// Joins the container.
    Oci { process: OciProcess, filter: Option<String> },
    /// Has a root of its own, and the namespaces that the spec names.
    Beside {
        spec: Box<Spec>,
        rootfs: Vec<Mount>,
        filter: Option<String>,
    },
    #[serde(other)]
    Other,
}

pub struct Exec {
    pub id: String,
    pub process: Process,
}

impl Start {
    pub fn starting(self, begun: Begun, fds: Vec<OwnedFd>) -> Starting {
        let answered = self.client.as_ref().filter(|client| client.answer).map(|client| client.client);
        let wanted = Wanted {
            seq: self.seq,
            target: Target::Exec { id: self.exec, answered },
            stdin: self.stdin,
            client: self.client,
        };
        Starting::new(wanted, begun, fds)
    }

    /// As of a container's own process.
    pub fn expose(&mut self) {
        match &mut self.launch {
            Format::Oci { process, .. } => {
                process.oom_score_adj.get_or_insert(0);
            }
            Format::Beside { spec, .. } => {
                if let Some(process) = spec.process.as_mut() {
                    process.oom_score_adj.get_or_insert(0);
                }
            }
            Format::Other => {}
        }
    }
}

pub fn begin(start: &Start, container: &Process, cgroup: &Cgroup) -> Result<Begun> {
    let since = Instant::now();
    let mut session =
        Session::new(Log::none(), start.terminal.is_some(), true).map_err(|error| Failure::io(&error, "stdio", None).at("stdio"))?;
    if let Some(most) = start.capture {
        session.keep(most);
    }
    let pipes = match start.terminal {
        None => Some(Pipes::new(start.stdin)?),
        Some(_) => None,
    };
    let talk = launch(start, container, cgroup, Pipes::stdio(pipes.as_ref(), start.terminal))?;
    Ok(Begun {
        talk,
        session,
        pipes,
        since,
    })
}

fn launch(start: &Start, container: &Process, cgroup: &Cgroup, stdio: Stdio) -> Result<Talk> {
    match &start.launch {
        Format::Oci { process, filter } => tsbox_runtime::exec(&Join {
            pid: container.pid,
            pidfd: container.pidfd.as_fd(),
            cgroup,
            process,
            stdio,
            seccomp: filter.as_deref().map(read_filter).transpose()?.as_deref(),
        })
        .map(Talk::Joining),
        Format::Beside { spec, rootfs, filter } => tsbox_runtime::begin(&Launch {
            id: &start.exec,
            spec,
            root: Root::Mounts(rootfs),
            stdio,
            seccomp: filter.as_deref().map(read_filter).transpose()?.as_deref(),
            hold: None,
            bundle: "",
            owns_cgroup: false,
        })
        .map(Talk::Launching)
        .map_err(|failure| told_by_end(failure, container.pid, container.pidfd.as_fd())),
        Format::Other => Err(Failure::new(
            Code::Unsupported,
            "this shim joins processes to its own containers, and starts no other runtime's command",
        )),
    }
}

pub fn not_running() -> Failure {
    Failure::new(Code::FailedPrecondition, "the container is not running")
}

/// Execs whose exit codes are told to a daemon that comes later: the one that was told may have died of it.
const REMEMBERED: usize = 64;

#[derive(Default)]
pub struct Execs {
    all: Vec<Exec>,
    /// How the last ones ended, the oldest first.
    past: VecDeque<(String, Exit)>,
}

impl Execs {
    pub fn add(&mut self, exec: Exec) {
        self.all.push(exec);
    }

    pub fn get(&mut self, id: &str) -> Result<&mut Exec> {
        self.all
            .iter_mut()
            .find(|exec| exec.id == id && !exec.process.told())
            .ok_or_else(|| Failure::new(Code::FailedPrecondition, format!("exec {id} is not running")))
    }

    pub fn sessions(&mut self) -> impl Iterator<Item = &mut Session> {
        self.all.iter_mut().map(|exec| &mut exec.process.session)
    }

    /// Those that have not ended: id and pid.
    pub fn list(&self) -> Vec<(String, i32)> {
        let going = self.all.iter().filter(|exec| !exec.process.told());
        going.map(|exec| (exec.id.clone(), exec.process.pid)).collect()
    }

    /// How the last of those that have ended did.
    pub fn past(&self) -> Vec<(String, Exit)> {
        self.past.iter().cloned().collect()
    }

    pub fn poll(&self, each: &mut impl FnMut(usize, Part, RawFd, i16)) {
        for (at, exec) in self.all.iter().enumerate() {
            exec.process.session.poll(&mut |part, fd, events| each(at, part, fd, events));
        }
    }

    pub fn pids(&self) -> impl Iterator<Item = i32> {
        self.all
            .iter()
            .filter(|exec| exec.process.exited().is_none())
            .map(|exec| exec.process.pid)
    }

    pub fn session(&mut self, at: usize) -> Option<&mut Session> {
        self.all.get_mut(at).map(|exec| &mut exec.process.session)
    }

    pub fn draining(&self) -> bool {
        self.all.iter().any(|exec| exec.process.draining())
    }

    /// True: the child was one of these.
    pub fn reaped(&mut self, pid: i32, wait: i32) -> bool {
        let found = self
            .all
            .iter_mut()
            .find(|exec| exec.process.pid == pid && exec.process.exited().is_none());
        let mine = found.is_some();
        if let Some(exec) = found {
            exec.process.exit(status::exit(wait, false));
        }
        mine
    }

    /// Those that have ended since: the exec, how, and what was to be kept of its output.
    pub fn ended(&mut self) -> Vec<(String, i32, Exit, Option<Vec<u8>>)> {
        let mut ended = Vec::new();
        for exec in &mut self.all {
            if let Some(exit) = exec.process.ended() {
                if self.past.len() == REMEMBERED {
                    self.past.pop_front();
                }
                self.past.push_back((exec.id.clone(), exit.clone()));
                ended.push((exec.id.clone(), exec.process.pid, exit, exec.process.session.kept()));
            }
        }
        ended
    }

    /// Whose output has arrived whole, of those that have ended.
    pub fn flushed(&mut self) -> impl Iterator<Item = FromShim> {
        self.all.iter_mut().flat_map(|exec| exec.process.flushed())
    }

    /// Lets go of those whose end is told and whose output is read; true when there were any.
    pub fn forget(&mut self) -> bool {
        let before = self.all.len();
        self.all.retain(|exec| !exec.process.told() || exec.process.session.unread());
        if self.all.is_empty() {
            self.all = Vec::new();
        }
        self.all.len() < before
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
