//! A further process in a running container.
//!
//! ```text
//! exec                                          process that joins               process of the container
//!   │ clone3 into the v2 cgroup ─────────────────▶│ enters the v1 cgroups, closes
//!   │                                             │ the host's files, joins all
//!   │                                             │ namespaces, the pid one for its child
//!   │ ◀───────── Console (a terminal; descriptor) │
//!   │ ◀──────────────────────────────── Executing │ user, capabilities, seccomp
//!   │                                             │ clone, as a child of exec ─────▶│ session, terminal
//!   │ ◀─────────────────────────────────── Forked │ ends                            │
//!   │ ◀───────────────────────────────────────────────────── (end of file: exec)    │ execve
//! ```
//! Processes in the container do not see the process that joins: it is in the host's pid namespace.

use crate::channel::{Channel, Message};
use crate::clock::Clock;
use crate::pending::{Launched, Pending};
use crate::process::{self, Last};
use crate::stdio::Stdio;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;
use tsbox_core::container::cgroup::{self, Cgroup};
use tsbox_core::container::identity;
use tsbox_core::container::namespaces::{self, CGROUP, Forked, IPC, MOUNT, NETWORK, PID, TIME, USER, UTS};
use tsbox_core::container::procfs::Procfs;
use tsbox_core::container::spec::Process;
use tsbox_core::container::terminal::{self, Terminal};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::id_maps::IdMaps;
use tsbox_core::sys::{self, descriptors::close_all_but};
use tsbox_core::tree::root::Root;

pub struct Exec<'a> {
    /// The container's first process: its pid, and a pidfd that was opened while the pid was known to belong to it.
    pub pid: i32,
    pub pidfd: BorrowedFd<'a>,
    pub cgroup: &'a Cgroup,
    pub process: &'a Process,
    pub stdio: Stdio,
    /// The container's compiled filter.
    pub seccomp: Option<&'a [u8]>,
}

/// Begins an exec; [`Pending`] reports when the process runs. FailedPrecondition: the container has ended, or is paused.
pub fn exec(exec: &Exec) -> Result<Pending> {
    start(exec).map_err(|failure| replace_if_ended(failure, exec.pid, exec.pidfd))
}

/// Like [`exec`], and waits until the process runs. A failure leaves nothing behind.
pub fn exec_and_wait(exec: &Exec) -> Result<Launched> {
    start(exec)
        .and_then(Pending::wait)
        .map_err(|failure| replace_if_ended(failure, exec.pid, exec.pidfd))
}

/// Replaces the failure of an exec by "not running" if the container's process `pid` ends. While that process exits, its namespaces can't
/// be joined (ESRCH), no process can be created in them (ENOMEM), and its files and groups disappear. Only the end itself is useful to the
/// user.
pub fn replace_if_ended(failure: Failure, pid: i32, pidfd: BorrowedFd) -> Failure {
    let command = matches!(failure.code, Code::CommandNotFound | Code::NotExecutable);
    if !command && (has_ended(pidfd) || is_ending(pid)) {
        Failure::new(Code::FailedPrecondition, "the container is not running")
    } else {
        failure
    }
}

fn has_ended(pidfd: BorrowedFd) -> bool {
    sys::process::await_end(pidfd, Duration::ZERO)
}

/// Checks PF_EXITING in field 9 of /proc/PID/stat. The kernel sets it before a process releases its resources. The pidfd becomes readable
/// only when all other processes of its pid namespace are gone.
fn is_ending(pid: i32) -> bool {
    const PF_EXITING: u32 = 4;
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    // The name in parentheses may contain any character.
    let flags = text
        .rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(6)?.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

fn start(exec: &Exec) -> Result<Pending> {
    let mut clock = Clock::start();
    if exec.process.args.is_empty() {
        return Err(Failure::new(Code::InvalidArgument, "process.args is empty").at("spec"));
    }
    // The new process would freeze with the others before it has begun.
    if exec.cgroup.is_frozen() {
        return Err(Failure::new(Code::FailedPrecondition, "the container is paused: unpause it first").at("cgroup"));
    }
    // Checked in this process, where the host's /proc is visible.
    let more = if is_separate(exec.pid, "user")? { USER } else { 0 } | if is_separate(exec.pid, "time")? { TIME } else { 0 };
    if let (Stdio::Fds(fds), true) = (exec.stdio, more & USER != 0) {
        // If the container is gone by now, the join fails.
        let maps = std::fs::read_to_string(format!("/proc/{}/uid_map", exec.pid)).unwrap_or_default();
        if let Some(owner) = IdMaps::to_host(&IdMaps::parse(&maps), exec.process.user.uid) {
            terminal::hand_over(fds, owner);
        }
    }
    let (ours, theirs) = Channel::pair()?;
    match fork(exec).map_err(|failure| failure.at("clone"))? {
        Forked::Child => {
            drop(ours);
            run(exec, more, &theirs)
        }
        Forked::Parent { pid, pidfd } => {
            clock.lap("clone");
            let killed = "the container ended while the process was started";
            Ok(Pending::new(ours, (pid, pidfd), 1, clock, killed))
        }
    }
}

/// Whether the container has a different namespace of this kind: joining one's own user namespace fails with EINVAL, and some kernels have
/// no time namespaces.
fn is_separate(pid: i32, file: &str) -> Result<bool> {
    let inode = |path: &str| match sys::open(path, libc::O_PATH) {
        Ok(namespace) => sys::stat(namespace.as_fd()).map(|stat| stat.st_ino),
        Err(failure) if failure.code == Code::NotFound => Ok(0),
        Err(failure) => Err(failure),
    };
    Ok(inode(&format!("/proc/{pid}/ns/{file}"))? != inode(&format!("/proc/self/ns/{file}"))?)
}

fn fork(exec: &Exec) -> Result<Forked> {
    let entrance = exec.cgroup.entrance()?;
    match namespaces::fork(0, entrance.as_ref().map(AsFd::as_fd), false) {
        // The container has made subgroups, and v2 allows processes in leaves only. So the process joins the group of the container's first
        // process.
        Err(failure) if matches!(failure.errno, Some(libc::EBUSY | libc::EOPNOTSUPP)) => {
            let beside = cgroup::unified_of(exec.pid, exec.cgroup.layout())?.ok_or(failure)?;
            let beside = sys::open(&beside.to_string_lossy(), libc::O_RDONLY | libc::O_DIRECTORY)?;
            namespaces::fork(0, Some(beside.as_fd()), false)
        }
        answer => answer,
    }
}

fn run(exec: &Exec, more: i32, channel: &Channel) -> ! {
    let failure = match join(exec, more, channel) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let _ = channel.send(&Message::Failed(failure.at("exec")));
    process::leave(1)
}

fn join(exec: &Exec, more: i32, channel: &Channel) -> Result<Infallible> {
    let mut clock = Clock::start();
    let mut warnings = Vec::new();
    process::begin(c"tsbox:[exec]")?;
    process::set_oom_score(exec.process, &mut warnings)?;
    exec.cgroup.enter().map_err(|failure| failure.at("cgroup"))?;
    clock.lap("join cgroup");
    // The process is visible only in the host's /proc.
    let procfs = Procfs::of_host()?;
    let mut keep = vec![channel.fd(), exec.pidfd.as_raw_fd(), procfs.fd().as_raw_fd()];
    if let Stdio::Fds(fds) = exec.stdio {
        keep.extend(fds);
    }
    // SAFETY: this process was just forked; it uses only what it keeps, and ends in execve or in `leave`.
    unsafe { close_all_but(keep)? };
    namespaces::join(exec.pidfd, MOUNT | NETWORK | IPC | UTS | CGROUP | PID | more).map_err(|failure| failure.at("namespaces"))?;
    if more & USER != 0 {
        process::become_root()?;
    }
    process::new_session()?;
    identity::join_session_keyring("_ses.exec");
    clock.lap("namespaces");
    let terminal = match exec.stdio {
        Stdio::Fds(fds) => {
            terminal::redirect(fds).map_err(|failure| failure.at("stdio"))?;
            false
        }
        Stdio::Terminal { rows, columns } => {
            lend_terminal(exec.process.user.uid, rows, columns, channel).map_err(|failure| failure.at("terminal"))?;
            true
        }
    };
    process::become_and_exec_inside(
        &Last {
            process: exec.process,
            filter: exec.seccomp,
            filter_flags: 0,
            terminal,
            reaper: None,
            procfs: Some(&procfs),
        },
        channel,
        warnings,
        clock,
        "exec",
    )
}

fn lend_terminal(owner: u32, rows: u16, columns: u16, channel: &Channel) -> Result<()> {
    let terminal = Terminal::open(&Root::new(sys::open("/", libc::O_PATH | libc::O_DIRECTORY)?))?;
    if rows > 0 && columns > 0 {
        terminal.resize(rows, columns)?;
    }
    channel.send_with(&Message::Console, terminal.master.as_fd())?;
    terminal.lend(owner)
}
