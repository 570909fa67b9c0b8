//! Execs: further processes in the running container, each with its own stdio. An exec is removed from memory when its end is reported and
//! its output is read.

use crate::client::Client;
use crate::formats::{ExecFormat, ExecSurroundings};
use crate::log::Log;
use crate::pipes::Pipes;
use crate::process::Process;
use crate::session::{Part, Session};
use crate::starting::{Begun, Starting, Target, Wanted};
use crate::status;
use serde::Deserialize;
use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Instant;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::peer::protocol::{Exit, FromShim, Window};
use tsbox_runtime::Cgroup;

/// `ShimExec` of kernel/src/contract/launcher.ts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub seq: u32,
    pub exec: String,
    pub launch: ExecFormat,
    terminal: Option<Window>,
    pub stdin: bool,
    pub client: Option<Client>,
    /// How many bytes of the output are reported with the end.
    capture: Option<usize>,
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
    let process = start.launch.begin(&ExecSurroundings {
        exec: &start.exec,
        container,
        cgroup,
        stdio: Pipes::stdio(pipes.as_ref(), start.terminal),
    })?;
    Ok(Begun {
        process,
        session,
        pipes,
        since,
    })
}

/// How many ended execs the shim remembers. A later daemon gets their exit codes, since the daemon that got them first may have
/// died before it recorded them.
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
            .find(|exec| exec.id == id && !exec.process.is_reported())
            .ok_or_else(|| Failure::new(Code::FailedPrecondition, format!("exec {id} is not running")))
    }

    pub fn sessions(&mut self) -> impl Iterator<Item = &mut Session> {
        self.all.iter_mut().map(|exec| &mut exec.process.session)
    }

    /// The execs that have not ended: id and pid.
    pub fn list(&self) -> Vec<(String, i32)> {
        let going = self.all.iter().filter(|exec| !exec.process.is_reported());
        going.map(|exec| (exec.id.clone(), exec.process.pid)).collect()
    }

    /// How the last execs ended.
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

    /// Records the exit. Returns true if the child was an exec.
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

    /// The execs that have ended since the last call: id, pid, exit and the output that was kept.
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

    /// The clients of ended execs whose output has arrived completely.
    pub fn flushed(&mut self) -> impl Iterator<Item = FromShim> {
        self.all.iter_mut().flat_map(|exec| exec.process.flushed())
    }

    /// Drops the execs whose end is reported and whose output is read. Returns true if there were any.
    pub fn forget(&mut self) -> bool {
        let before = self.all.len();
        self.all.retain(|exec| !exec.process.is_reported() || exec.process.session.unread());
        if self.all.is_empty() {
            self.all = Vec::new();
        }
        self.all.len() < before
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
