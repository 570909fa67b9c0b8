//! Stage one, in the caller: cgroups and their limits, namespaces to be, the fork, and the talk with what was forked.

use crate::channel::Channel;
use crate::clock::Clock;
use crate::init::{self, Init};
use crate::join;
use crate::pending::{Born, EarlyHooks, Pending};
use crate::rootfs::Root;
use crate::stdio::Stdio;
use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;
use tsbox_core::container::cgroup::Cgroup;
use tsbox_core::container::idmap;
use tsbox_core::container::namespaces::{self, Forked, Namespaces, PID, TIME, TimeNamespace, USER};
use tsbox_core::container::spec::{Linux, Spec};
use tsbox_core::container::{mounts, seccomp, terminal};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::id_maps::IdMaps;

pub struct Launch<'a> {
    pub id: &'a str,
    pub spec: &'a Spec,
    pub root: Root<'a>,
    pub stdio: Stdio,
    /// A compiled filter (`tsbox_core::container::seccomp::compile`); none: `linux.seccomp` of the spec is compiled.
    pub seccomp: Option<&'a [u8]>,
    /// The reading end of a pipe. When all else is done, the process waits there for a byte; an end without one is a failure
    /// (`FailedPrecondition`).
    pub hold: Option<BorrowedFd<'a>>,
    /// A directory with a `config.json`, which hooks are told; empty: none. A root of mounts lies on its directory `rootfs` while hooks of
    /// the container's namespaces run.
    pub bundle: &'a str,
    /// Nobody else uses `linux.cgroupsPath`: what is there is of an earlier start, and is removed.
    pub owns_cgroup: bool,
}

#[derive(Debug)]
pub struct Started {
    /// A child of the caller, in whose pid namespace the number counts.
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub console: Option<OwnedFd>,
    pub cgroup: Cgroup,
    pub warnings: Vec<String>,
    /// Milliseconds of each stage, in order.
    pub timings: Vec<(String, f64)>,
}

/// Starts a container's first process; answers when it has exec'ed. The failure says the stage, and `CommandNotFound` or `NotExecutable`
/// where the command is to blame.
pub fn launch(launch: &Launch) -> Result<Started> {
    create(launch, None).map(|(started, _)| started)
}

/// As [`launch`], without waiting for the process.
pub fn begin(launch: &Launch) -> Result<Launching> {
    prepare(launch, None)
}

/// As [`launch`]; with a gate (a listening SOCK_SEQPACKET socket) the process stops before exec until somebody connects there, and this
/// answers when it does. True: it waits at its gate.
pub(crate) fn create(launch: &Launch, gate: Option<BorrowedFd>) -> Result<(Started, bool)> {
    prepare(launch, gate)?.wait()
}

fn prepare(launch: &Launch, gate: Option<BorrowedFd>) -> Result<Launching> {
    let mut clock = Clock::start();
    let mut warnings = Vec::new();
    let spec = launch.spec;
    let process = spec.process.as_ref().filter(|process| !process.args.is_empty());
    let process = process.ok_or_else(|| Failure::new(Code::InvalidArgument, "process.args of the spec is empty").at("spec"))?;
    let none = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&none);
    let wanted = Namespaces::open(&linux.namespaces).map_err(|failure| failure.at("namespaces"))?;
    if !wanted.separate(namespaces::MOUNT) {
        return Err(Failure::new(Code::Unsupported, "a container without a mount namespace is not supported").at("namespaces"));
    }
    let (filter, flags) = match (launch.seccomp, &linux.seccomp) {
        (Some(filter), _) => (Some(Cow::Borrowed(filter)), 0),
        (None, Some(profile)) => {
            let compiled = seccomp::compile_profile(profile).and_then(|program| Ok((program, seccomp::flags(profile)?)));
            let (program, flags) = compiled.map_err(|failure| failure.at("seccomp"))?;
            (Some(Cow::Owned(program)), flags)
        }
        (None, None) => (None, 0),
    };
    let early = mounts::open_early(&spec.mounts, wanted.separate(USER), wanted.joined(PID)).map_err(|failure| failure.at("mounts"))?;
    // In a user namespace the root's layers may be out of reach.
    let root = match launch.root {
        Root::Mounts(mounts) if wanted.separate(USER) => Some(idmap::open_detached(mounts).map_err(|failure| failure.at("rootfs"))?),
        _ => None,
    };
    clock.lap("prepare");
    let path = linux
        .cgroups_path
        .clone()
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| format!("/{}", launch.id));
    let cgroup =
        Cgroup::create(&path, linux.resources.as_ref(), launch.owns_cgroup, &mut warnings).map_err(|failure| failure.at("cgroup"))?;
    clock.lap("cgroup");
    if let (Stdio::Fds(fds), true) = (launch.stdio, wanted.separate(USER)) {
        let maps = linux.id_maps();
        if let Some(owner) = IdMaps::to_host(&maps.uids, process.user.uid) {
            terminal::hand_over(fds, owner);
        }
    }

    let init = Init {
        id: launch.id,
        spec,
        linux,
        process,
        namespaces: &wanted,
        root: launch.root,
        opened_root: root,
        early,
        stdio: launch.stdio,
        cgroup: &cgroup,
        filter: filter.as_deref(),
        filter_flags: flags,
        hold: launch.hold,
        gate,
        bundle: launch.bundle,
    };
    let hooks = spec
        .hooks
        .as_ref()
        .filter(|hooks| hooks.prestart.len() + hooks.create_runtime.len() > 0);
    let births = u32::from(wanted.joined(USER).is_some()) + u32::from(wanted.joined(PID).is_some());
    let (child, channel) = match fork(init) {
        Ok(born) => born,
        Err(failure) => {
            clear(&cgroup);
            return Err(failure.at("clone"));
        }
    };
    clock.lap("clone");
    let mut talk = Pending::new(
        channel,
        child,
        births,
        clock,
        "the container's first process was killed while it started",
    );
    talk.warnings = warnings;
    talk.id_maps = Some(linux.id_maps()).filter(|_| wanted.new & USER != 0);
    talk.hooks = hooks.map(|hooks| EarlyHooks {
        prestart: hooks.prestart.clone(),
        create_runtime: hooks.create_runtime.clone(),
        spec: spec.clone(),
        id: launch.id.to_owned(),
        bundle: launch.bundle.to_owned(),
    });
    Ok(Launching { talk, cgroup })
}

/// A launch on its way, with the cgroup that it has made.
pub struct Launching {
    talk: Pending,
    cgroup: Cgroup,
}

impl Launching {
    /// Readable when [`Launching::advance`] has something to do.
    pub fn fd(&self) -> RawFd {
        self.talk.fd()
    }

    /// The caller gets the container's mount namespace, to hold it over the end of the first process: else that process takes its mounts
    /// down itself, before its parent hears of its end, and waits for a sync of the whole file system that its layer lies on, with all that
    /// anybody else has written there.
    pub fn hold_mounts(mut self) -> Launching {
        self.talk.holds_mounts = true;
        self
    }

    /// None: the process is not there yet. After a failure the caller calls [`Launching::abandon`].
    pub fn advance(&mut self) -> Result<Option<Born>> {
        self.talk.advance()
    }

    /// Ends the processes; [`Launching::advance`] tells of it.
    pub fn kill(&self) {
        self.talk.kill();
    }

    /// The process is there, and its cgroup goes on.
    pub fn into_cgroup(self) -> Cgroup {
        self.cgroup
    }

    /// Takes back what was made: the processes, then their cgroup, for which it waits `timeout` at most.
    pub fn abandon(self, timeout: Duration) {
        self.talk.kill();
        if self.cgroup.is_ours() {
            let _ = self.cgroup.kill_all(libc::SIGKILL);
        }
        self.talk.reap(timeout);
        clear(&self.cgroup);
    }

    /// Blocks until the process is there; a failure leaves nothing behind.
    fn wait(self) -> Result<(Started, bool)> {
        let Launching { talk, cgroup } = self;
        match talk.wait() {
            Ok(born) => Ok((
                Started {
                    pid: born.pid,
                    pidfd: born.pidfd,
                    console: born.console,
                    cgroup,
                    warnings: born.warnings,
                    timings: born.timings,
                },
                born.waits,
            )),
            Err(failure) => {
                clear(&cgroup);
                Err(failure)
            }
        }
    }
}

fn clear(cgroup: &Cgroup) {
    if cgroup.is_ours() {
        let _ = cgroup.kill_all(libc::SIGKILL);
        let _ = cgroup.remove();
    }
}

/// The process that becomes the container's or makes it, as pid and pidfd, and the channel to it.
fn fork(init: Init) -> Result<((i32, OwnedFd), Channel)> {
    let (ours, theirs) = Channel::pair()?;
    let entrance = init.cgroup.entrance()?;
    let entrance = entrance.as_ref().map(AsFd::as_fd);
    let wanted = init.namespaces;
    // Until the fork: who is born now is born in it.
    let _time = if wanted.new & TIME != 0 {
        Some(TimeNamespace::enter(&init.linux.time_offsets)?)
    } else {
        None
    };
    let joins_user = wanted.joined(USER).is_some();
    // What belongs to a user namespace that is joined must be made from inside it.
    // The cgroup namespace is unshared after the move into the v1 directories, which is the process's own.
    let flags = if joins_user { 0 } else { wanted.new & !(namespaces::CGROUP | TIME) };
    match namespaces::fork(flags, entrance, false)? {
        Forked::Parent { pid, pidfd } => Ok(((pid, pidfd), ours)),
        Forked::Child => {
            drop(ours);
            if joins_user {
                join::run(init, theirs)
            } else {
                init::run(init, theirs)
            }
        }
    }
}
