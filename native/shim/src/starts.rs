//! Starts of the container and of execs, from the request to the running process.

use crate::exec;
use crate::launch::{self, Start};
use crate::process::Process;
use crate::shim::{Container, Shim};
use crate::starting::{Ready, Starting, Target};
use std::os::fd::{AsFd, OwnedFd};
use tsbox_core::failure::{Code, Failure};
use tsbox_core::peer::protocol::FromShim;
use tsbox_runtime::{Launched, replace_if_ended};

impl Shim {
    /// Begins the container's start. The last descriptor is the pipe that holds the start back.
    pub(crate) fn start(&mut self, mut start: Start, mut fds: Vec<OwnedFd>) {
        start.launch.expose();
        let without = || Failure::new(Code::InvalidArgument, "the start came without what holds it");
        let twice = self.container.is_some() || self.starting.iter().any(Starting::is_container);
        let begun = fds.pop().ok_or_else(without).and_then(|hold| match twice {
            true => Err(Failure::new(Code::FailedPrecondition, "the container is started already")),
            false => launch::begin(&self.id, &start, &hold),
        });
        match begun {
            Ok(begun) => self.starting.push(start.starting(begun, fds)),
            Err(failure) => {
                self.send(&FromShim::Failed { seq: start.seq, failure });
                self.abandoned |= !twice;
            }
        }
    }

    pub(crate) fn exec(&mut self, mut start: exec::Start, fds: Vec<OwnedFd>) {
        start.launch.expose();
        self.busy = true;
        let begun = self
            .running()
            .and_then(|container| exec::begin(&start, &container.process, &container.cgroup));
        match begun {
            Ok(begun) => self.starting.push(start.starting(begun, fds)),
            Err(failure) => {
                self.early.retain(|(_, attach, _)| attach.exec.as_deref() != Some(&start.exec));
                self.send(&FromShim::Failed { seq: start.seq, failure });
            }
        }
    }

    /// Advances every start as far as it can go without blocking.
    pub(crate) fn advance(&mut self) {
        let mut settled = false;
        for at in (0..self.starting.len()).rev() {
            let advanced = match self.starting[at].advance() {
                Ok(None) => continue,
                advanced => advanced,
            };
            let start = self.starting.remove(at);
            settled = true;
            let (seq, is_container) = (start.seq, start.is_container());
            match advanced {
                Ok(Some(launched)) => match start.finish(launched) {
                    Ok(ready) => self.started(ready),
                    Err(failure) => {
                        self.abandoned |= is_container;
                        self.send(&FromShim::Failed { seq, failure });
                    }
                },
                Ok(None) => {}
                Err(failure) => self.failed(start, failure),
            }
        }
        if settled {
            self.busy = true;
            if self.starting.is_empty() {
                self.starting = Vec::new();
            }
            // Some may be dead already: their SIGCHLD came before their pid was known.
            self.reap();
        }
    }

    fn failed(&mut self, start: Starting, failure: Failure) {
        let failure = match (&self.container, start.is_container()) {
            (Some(container), false) => replace_if_ended(failure, container.process.pid, container.process.pidfd.as_fd()),
            _ => failure,
        };
        let seq = start.seq;
        match start.exec_id().map(str::to_owned) {
            Some(id) => self.early.retain(|(_, attach, _)| attach.exec.as_deref() != Some(&id)),
            None => self.abandoned = true,
        }
        start.abandon();
        self.send(&FromShim::Failed { seq, failure });
    }

    fn started(&mut self, ready: Ready) {
        let Ready {
            seq,
            target,
            launched,
            mut session,
            cgroup,
            adopted,
            client,
            fds,
        } = ready;
        if let Some(client) = &client {
            session.join_client(client, fds);
        }
        let Launched {
            pid,
            pidfd,
            warnings,
            timings,
            mounts,
            ..
        } = launched;
        match target {
            Target::Container => {
                let Some(cgroup) = cgroup else { return };
                self.join_early(None, &mut session);
                self.container = Some(Container {
                    process: Process::new(pid, pidfd, session, None),
                    adopted,
                    memory: None,
                    cgroup,
                    paused: false,
                    _mounts: mounts,
                });
                self.send(&FromShim::Started {
                    seq,
                    pid,
                    warnings,
                    timings,
                });
                if let Some(container) = &mut self.container {
                    container.memory = container.cgroup.watch_memory();
                }
            }
            Target::Exec { id, answered } => {
                self.join_early(Some(&id), &mut session);
                self.execs.add(exec::Exec {
                    id,
                    process: Process::new(pid, pidfd, session, answered),
                });
                self.send(&FromShim::ExecStarted {
                    seq,
                    pid,
                    warnings,
                    timings,
                });
            }
        }
    }
}
