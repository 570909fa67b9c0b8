//! Stage one, in the caller: cgroups and their limits, namespaces to be, the fork, and the talk with what was forked.

use crate::channel::{Channel, Message};
use crate::hooks;
use crate::init::{self, Init};
use crate::join;
use std::borrow::Cow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Instant;
use tsbox_core::container::cgroup::Cgroup;
use tsbox_core::container::namespaces::{self, Forked, Namespaces, PID, TIME, TimeNamespace, USER};
use tsbox_core::container::spec::{Linux, Spec};
use tsbox_core::container::{mounts, seccomp, sys};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::id_maps::IdMaps;
use tsbox_core::idmap;
use tsbox_core::mount::Mount;

/// Where the root file system comes from. Mounts are opened in the child's own mount namespace: the host's table never changes.
#[derive(Clone, Copy)]
pub enum Root<'a> {
    Path(&'a Path),
    Mounts(&'a [Mount]),
}

/// Descriptors for 0, 1 and 2; or a pseudo-terminal, made in the container's own devpts, whose master is handed back.
#[derive(Clone, Copy)]
pub enum Stdio {
    Fds([RawFd; 3]),
    Terminal { rows: u16, columns: u16 },
}

pub struct Launch<'a> {
    pub id: &'a str,
    pub spec: &'a Spec,
    pub root: Root<'a>,
    pub stdio: Stdio,
    /// A compiled filter (`tsbox_core::container::seccomp::compile`); none: `linux.seccomp` of the spec is compiled.
    pub seccomp: Option<&'a [u8]>,
    /// The reading end of a pipe. When all else is done, the process waits there for a byte; an end without one is a failure (`FailedPrecondition`).
    pub hold: Option<BorrowedFd<'a>>,
    /// A directory with a `config.json`, which hooks are told; empty: none. A root of mounts lies on its directory `rootfs` while hooks of the container's namespaces run.
    pub bundle: &'a str,
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

/// Starts a container's first process; answers when it has exec'ed. The failure says the stage, and `CommandNotFound` or `NotExecutable` where the command is to blame.
pub fn launch(launch: &Launch) -> Result<Started> {
    create(launch, None).map(|(started, _)| started)
}

/// As [`launch`]; with a gate (a listening SOCK_SEQPACKET socket) the process stops before exec until somebody connects there, and this answers when it does.
/// True: it waits at its gate.
pub(crate) fn create(launch: &Launch, gate: Option<BorrowedFd>) -> Result<(Started, bool)> {
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
    let early = mounts::open_early(&spec.mounts, wanted.separate(USER)).map_err(|failure| failure.at("mounts"))?;
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
    let cgroup = Cgroup::create(&path, linux.resources.as_ref(), &mut warnings).map_err(|failure| failure.at("cgroup"))?;
    clock.lap("cgroup");

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
    let born = fork(init, &mut clock);
    let (child, channel) = match born {
        Ok(born) => born,
        Err(failure) => return Err(abandon(&cgroup, None, failure.at("clone"))),
    };
    let mut talk = Talk {
        child,
        console: None,
        warnings,
        ready: false,
    };
    match talk.until_exec(&channel, linux, launch, &mut clock) {
        Ok(()) => {
            let Talk {
                child: (pid, pidfd),
                console,
                warnings,
                ready,
            } = talk;
            Ok((
                Started {
                    pid,
                    pidfd,
                    console,
                    cgroup,
                    warnings,
                    timings: clock.laps,
                },
                ready,
            ))
        }
        Err(failure) => Err(abandon(&cgroup, Some(&talk.child.1), failure)),
    }
}

/// The process that becomes the container's, as pid and pidfd, and the channel to it.
fn fork(init: Init, clock: &mut Clock) -> Result<((i32, OwnedFd), Channel)> {
    let (ours, theirs) = Channel::pair()?;
    let entrance = init.cgroup.entrance()?;
    let wanted = init.namespaces;
    // Until the fork: who is born now is born in it.
    let _time = if wanted.new & TIME != 0 {
        Some(TimeNamespace::enter(&init.linux.time_offsets)?)
    } else {
        None
    };
    if wanted.joined(USER).is_some() {
        // What belongs to the user namespace must be made from inside it.
        let Forked::Parent { pidfd, .. } = namespaces::fork(0, entrance.as_ref().map(AsFd::as_fd), false)? else {
            join::run(init, theirs)
        };
        drop(theirs);
        let answer = ours.receive();
        reap(&pidfd);
        return match answer? {
            Some((Message::Born(pid), Some(child))) => Ok(((pid, child), ours)),
            Some((Message::Failed(failure), _)) => Err(failure),
            _ => Err(Failure::new(Code::Internal, "the process that joins the user namespace was killed")),
        };
    }
    // The cgroup namespace is unshared after the move into the v1 directories, which is the process's own.
    let flags = wanted.new & !(namespaces::CGROUP | TIME);
    let pid_namespace = wanted.joined(PID).map(PidNamespace::enter).transpose()?;
    let forked = namespaces::fork(flags, entrance.as_ref().map(AsFd::as_fd), false);
    if let Ok(Forked::Child) = forked {
        drop(ours);
        init::run(init, theirs);
    }
    if let Some(pid_namespace) = pid_namespace {
        pid_namespace.leave()?;
    }
    match forked? {
        Forked::Parent { pid, pidfd } => {
            clock.lap("clone");
            Ok(((pid, pidfd), ours))
        }
        Forked::Child => unreachable!("the child never returns"),
    }
}

struct Talk {
    child: (i32, OwnedFd),
    console: Option<OwnedFd>,
    warnings: Vec<String>,
    ready: bool,
}

impl Talk {
    fn until_exec(&mut self, channel: &Channel, linux: &Linux, launch: &Launch, clock: &mut Clock) -> Result<()> {
        let mut executing = false;
        loop {
            match channel.receive()? {
                Some((Message::Unmapped, _)) => {
                    let maps = IdMaps::of(&linux.uid_mappings, &linux.gid_mappings);
                    namespaces::write_maps(self.child.0, &maps.uids, &maps.gids).map_err(|failure| failure.at("user namespace"))?;
                    channel.send(&Message::GoOn)?;
                }
                Some((Message::Console, console)) => self.console = console,
                Some((Message::Mounted, _)) => {
                    if let Some(wanted) = &launch.spec.hooks {
                        let state = hooks::State::new(launch.spec, launch.id, "creating", self.child.0, launch.bundle);
                        hooks::run("prestart", &wanted.prestart, &state)?;
                        hooks::run("createRuntime", &wanted.create_runtime, &state)?;
                    }
                    channel.send(&Message::GoOn)?;
                }
                Some((Message::Ready { warnings }, _)) => {
                    self.warnings.extend(warnings);
                    self.ready = true;
                    return Ok(());
                }
                Some((Message::Executing { warnings, timings }, _)) => {
                    self.warnings.extend(warnings);
                    clock.laps.extend(timings);
                    clock.reset();
                    executing = true;
                }
                Some((Message::Failed(failure), _)) => return Err(failure),
                Some((Message::GoOn | Message::Born(_), _)) => return Err(Failure::new(Code::Internal, "unexpected message")),
                None if executing => {
                    clock.lap("exec");
                    return Ok(());
                }
                None => return Err(Failure::new(Code::Internal, "the container's first process was killed while it started").at("init")),
            }
        }
    }
}

/// Takes back what was made: the process, then its cgroups. The first failure is what counts.
fn abandon(cgroup: &Cgroup, child: Option<&OwnedFd>, failure: Failure) -> Failure {
    if let Some(pidfd) = child {
        // SAFETY: a pidfd of ours; no siginfo. It may be dead already.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                pidfd.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        reap(pidfd);
    }
    if cgroup.is_ours() {
        let _ = cgroup.kill_all(libc::SIGKILL);
        let _ = cgroup.remove();
    }
    failure
}

/// Waits for a child of ours to end.
pub(crate) fn reap(pidfd: &OwnedFd) {
    // SAFETY: siginfo is plain numbers; the kernel fills it.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        while libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as u32, &mut info, libc::WEXITED) < 0
            && *libc::__errno_location() == libc::EINTR
        {}
    }
}

/// The caller's children are born in another pid namespace for a moment. They are seen from there before they exec, as this binary: so they are not dumpable
/// from their first instruction on, and their /proc/PID/exe leads nobody to it (CVE-2019-5736).
pub(crate) struct PidNamespace {
    own: OwnedFd,
    dumpable: i32,
}

impl PidNamespace {
    pub fn enter(namespace: BorrowedFd) -> Result<PidNamespace> {
        let entered = PidNamespace {
            own: sys::open("/proc/self/ns/pid", libc::O_RDONLY)?,
            dumpable: sys::prctl(libc::PR_GET_DUMPABLE, 0, 0, "PR_GET_DUMPABLE")?,
        };
        sys::prctl(libc::PR_SET_DUMPABLE, 0, 0, "PR_SET_DUMPABLE")?;
        match namespaces::join(namespace, PID) {
            Ok(()) => Ok(entered),
            Err(failure) => {
                entered.leave()?;
                Err(failure)
            }
        }
    }

    pub fn leave(self) -> Result<()> {
        namespaces::join(self.own.as_fd(), PID)?;
        // 2 is what sysctl fs.suid_dumpable may have made of it; nobody may set that.
        sys::prctl(libc::PR_SET_DUMPABLE, u64::from(self.dumpable == 1), 0, "PR_SET_DUMPABLE").map(drop)
    }
}

/// Where the time goes.
pub(crate) struct Clock {
    since: Instant,
    pub laps: Vec<(String, f64)>,
}

impl Clock {
    pub fn start() -> Clock {
        Clock {
            since: Instant::now(),
            laps: Vec::new(),
        }
    }

    pub fn lap(&mut self, stage: &str) {
        self.laps.push((stage.to_owned(), self.since.elapsed().as_secs_f64() * 1000.0));
        self.reset();
    }

    pub fn reset(&mut self) {
        self.since = Instant::now();
    }
}
