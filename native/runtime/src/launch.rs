//! Stage one, in the caller: cgroups and their limits, the choice of namespaces, the fork, and the conversation with the forked process.

use crate::channel::Channel;
use crate::clock::Clock;
use crate::init::{self, Init};
use crate::join;
use crate::pending::{EarlyHooks, Launched, Pending};
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
use tsbox_core::mount::Mount;

pub struct Launch<'a> {
    pub id: &'a str,
    pub spec: &'a Spec,
    pub root: Root<'a>,
    pub stdio: Stdio,
    /// A compiled filter (`tsbox_core::container::seccomp::compile`); None: `linux.seccomp` of the spec is compiled.
    pub seccomp: Option<&'a [u8]>,
    /// The reading end of a pipe. When everything else is done, the process waits there for a byte. An end of file without a byte is a
    /// failure (`FailedPrecondition`).
    pub hold: Option<BorrowedFd<'a>>,
    /// A directory with a `config.json`, which is passed to hooks; empty: no directory. While hooks of the container's namespaces run, a
    /// root made of mounts is attached to the directory's `rootfs`.
    pub bundle: &'a str,
    /// No other container uses `linux.cgroupsPath`: if it exists, it is left from an earlier start and is removed.
    pub owns_cgroup: bool,
}

#[derive(Debug)]
pub struct Started {
    /// A child of the caller; the pid is the one in the caller's pid namespace.
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub console: Option<OwnedFd>,
    pub cgroup: Cgroup,
    pub warnings: Vec<String>,
    /// The duration of each stage in milliseconds, in order.
    pub timings: Vec<(String, f64)>,
}

/// Starts a container's first process, and returns when it has executed its command. A failure names the stage; its code is
/// `CommandNotFound` or `NotExecutable` if the command is the cause.
pub fn launch(launch: &Launch) -> Result<Started> {
    create(launch, None).map(|(started, _)| started)
}

/// Like [`launch`], without waiting for the process.
pub fn begin(launch: &Launch) -> Result<Launching> {
    prepare(launch, None)
}

/// Like [`launch`]. With a gate (a listening SOCK_SEQPACKET socket) the process stops before exec until a client connects there, and this
/// function returns as soon as the process waits. True: it waits at its gate.
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
    // In a user namespace the root's layers may be inaccessible, and in the container's devices cgroup a block device is.
    let root = match launch.root {
        Root::Mounts(mounts) if wanted.separate(USER) || mounts.iter().any(Mount::is_of_block_device) => {
            Some(idmap::open_detached(mounts).map_err(|failure| failure.at("rootfs"))?)
        }
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
        Ok(launched) => launched,
        Err(failure) => {
            clear(&cgroup);
            return Err(failure.at("clone"));
        }
    };
    clock.lap("clone");
    let mut pending = Pending::new(
        channel,
        child,
        births,
        clock,
        "the container's first process was killed while it started",
    );
    pending.warnings = warnings;
    pending.id_maps = Some(linux.id_maps()).filter(|_| wanted.new & USER != 0);
    pending.hooks = hooks.map(|hooks| EarlyHooks {
        prestart: hooks.prestart.clone(),
        create_runtime: hooks.create_runtime.clone(),
        spec: spec.clone(),
        id: launch.id.to_owned(),
        bundle: launch.bundle.to_owned(),
    });
    Ok(Launching {
        pending,
        cgroup,
        by_commands: false,
    })
}

/// A launch in progress, with the cgroup that it has made.
pub struct Launching {
    pending: Pending,
    cgroup: Cgroup,
    by_commands: bool,
}

impl Launching {
    pub(crate) fn by_commands(pending: Pending, cgroup: Cgroup) -> Launching {
        Launching {
            pending,
            cgroup,
            by_commands: true,
        }
    }

    /// Another runtime's commands start the process: it may be the child of their monitor.
    pub fn is_by_commands(&self) -> bool {
        self.by_commands
    }

    /// Readable when [`Launching::advance`] has work to do.
    pub fn fd(&self) -> RawFd {
        self.pending.fd()
    }

    /// Gives the caller the container's mount namespace, to hold it beyond the end of the first process. Otherwise that process unmounts
    /// its mounts itself before its parent is notified of its end, and waits for a sync of the whole file system of its layer, including
    /// the writes of all other processes.
    pub fn hold_mounts(mut self) -> Launching {
        self.pending.holds_mounts = true;
        self
    }

    /// None: the process does not run yet. After a failure the caller calls [`Launching::abandon`].
    pub fn advance(&mut self) -> Result<Option<Launched>> {
        self.pending.advance()
    }

    /// Kills the processes. [`Launching::advance`] then reports their end.
    pub fn kill(&self) {
        self.pending.kill();
    }

    /// Returns the cgroup once the process runs.
    pub fn into_cgroup(self) -> Cgroup {
        self.cgroup
    }

    /// Cleans up a failed launch: kills its processes, then removes their cgroup, for which it waits at most `timeout`.
    pub fn abandon(self, timeout: Duration) {
        self.pending.kill();
        if self.cgroup.is_ours() {
            let _ = self.cgroup.kill_all(libc::SIGKILL);
        }
        self.pending.reap(timeout);
        clear(&self.cgroup);
    }

    /// Blocks until the process runs. A failure leaves nothing behind.
    pub(crate) fn wait(self) -> Result<(Started, bool)> {
        let Launching { pending, cgroup, .. } = self;
        match pending.wait() {
            Ok(launched) => Ok((
                Started {
                    pid: launched.pid,
                    pidfd: launched.pidfd,
                    console: launched.console,
                    cgroup,
                    warnings: launched.warnings,
                    timings: launched.timings,
                },
                launched.waits,
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

/// Forks the process that becomes, or makes, the container's. Returns its pid and pidfd, and the channel to it.
fn fork(init: Init) -> Result<((i32, OwnedFd), Channel)> {
    let (ours, theirs) = Channel::pair()?;
    let entrance = init.cgroup.entrance()?;
    let entrance = entrance.as_ref().map(AsFd::as_fd);
    let wanted = init.namespaces;
    // Entered until the fork: a process that is forked now is created in this time namespace.
    let _time = if wanted.new & TIME != 0 {
        Some(TimeNamespace::enter(&init.linux.time_offsets)?)
    } else {
        None
    };
    let joins_user = wanted.joined(USER).is_some();
    // Namespaces that belong to a joined user namespace must be made inside it. The cgroup namespace is unshared after the process has
    // moved itself into the v1 directories.
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
