//! The last steps of every process of a container, its first one and those that join: limits, user, capabilities, seccomp, execve.

use crate::channel::{Channel, Message};
use crate::clock::Clock;
use crate::command::Command;
use crate::directory::{change_directory, check_directory};
use crate::labels;
use crate::limits::{process_limits, roomy_limits};
use rustix::fs::Mode;
use rustix::io::Errno;
use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use tsbox_core::container::capabilities::Sets;
use tsbox_core::container::namespaces::{self, Forked};
use tsbox_core::container::procfs::Procfs;
use tsbox_core::container::spec::{Process, Rlimit};
use tsbox_core::container::{identity, seccomp, terminal};
use tsbox_core::failure::{Code, Result};
use tsbox_core::sys::descriptors::{close_all_but, close_on_exec};
use tsbox_core::sys::{self, Call, signals};

pub struct Last<'a> {
    pub process: &'a Process,
    pub filter: Option<&'a [u8]>,
    pub filter_flags: u32,
    pub terminal: bool,
    /// This binary, if it is the container's first process and the command its child.
    pub reaper: Option<BorrowedFd<'a>>,
    /// A /proc in which the calling process is visible; None: a /proc of its pid namespace is opened when it is needed.
    pub procfs: Option<&'a Procfs>,
}

/// Must be called first after the fork. Until exec, this is the engine's binary in a container's namespaces: other processes there must not
/// access it (CVE-2019-5736), and it must end with the process that started it.
pub fn begin(title: &CStr) -> Result<()> {
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0, "PR_SET_DUMPABLE")?;
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0, "PR_SET_PDEATHSIG")?;
    identity::set_title(title);
    Ok(())
}

pub fn outlive_parent() -> Result<()> {
    sys::prctl(libc::PR_SET_PDEATHSIG, 0, 0, "PR_SET_PDEATHSIG").map(drop)
}

/// Ends the process without running exit handlers.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit does not return, and runs nothing.
    unsafe { libc::_exit(code) }
}

pub fn new_session() -> Result<()> {
    match rustix::process::setsid() {
        // The process leads a session already.
        Err(Errno::PERM) => Ok(()),
        answer => answer.call("setsid", None).map(drop),
    }
}

/// Becomes root of the user namespace that was just entered.
pub fn become_root() -> Result<()> {
    // SAFETY: plain numbers and an empty list. Groups of the host mean nothing inside; where setgroups is forbidden they stay.
    unsafe {
        libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>());
        sys::check(libc::syscall(libc::SYS_setresgid, 0, 0, 0), "setresgid", None)?;
        sys::check(libc::syscall(libc::SYS_setresuid, 0, 0, 0), "setresuid", None)?;
    }
    Ok(())
}

/// A score below the caller's own needs CAP_SYS_RESOURCE. Without that capability the score stays, with a warning.
pub fn set_oom_score(process: &Process, warnings: &mut Vec<String>) -> Result<()> {
    let Some(score) = process.oom_score_adj else { return Ok(()) };
    match Procfs::of_host()?.write("self/oom_score_adj", &score.to_string()) {
        Err(failure) if failure.code == Code::PermissionDenied => {
            warnings.push(format!(
                "an out-of-memory score of {score} is below what this host allows; left as it is"
            ));
            Ok(())
        }
        answer => answer.map_err(|failure| failure.at("oom score")),
    }
}

/// Executes the command, or returns the failure. For a process that no other process of the container can see yet, or that has its own pid
/// namespace.
pub fn become_and_exec(last: &Last, channel: &Channel, warnings: Vec<String>, clock: Clock) -> Result<Infallible> {
    let shape = Shape {
        filter: last.filter,
        limits: last.process.rlimits.clone(),
        extra: 0,
        keep: None,
    };
    let command = assume(last, channel, warnings, clock, shape)?;
    if last.terminal {
        terminal::control().map_err(|failure| failure.at("terminal"))?;
    }
    Err(command.execute(last.reaper))
}

/// Like [`become_and_exec`], in a process outside of the pid namespace in which its children are created. A process of the container that
/// has CAP_SYS_PTRACE may inspect, stop and change every process that it sees. So the child that it sees is created with nothing that the
/// container does not have: its root, its user and capabilities, its seccomp filter, descriptors 0, 1 and 2 and the channel. The child only
/// makes its session and executes the command. It reports a failure itself, at `stage`: the caller's descriptors are closed by then, and
/// must not be closed again.
pub fn become_and_exec_inside(last: &Last, channel: &Channel, warnings: Vec<String>, clock: Clock, stage: &str) -> ! {
    let failure = match born_inside(last, channel, warnings, clock) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let _ = channel.send(&Message::Failed(failure.at(stage)));
    leave(1)
}

fn born_inside(last: &Last, channel: &Channel, warnings: Vec<String>, clock: Clock) -> Result<Infallible> {
    // If the filter forbids the steps that follow its installation, the new process installs it. It keeps one more capability until then,
    // unless it has no_new_privs.
    let late = last.filter.filter(|filter| !lets_begin(filter, last));
    let mut keep = vec![channel.fd()];
    keep.extend(last.reaper.map(|reaper| reaper.as_raw_fd()));
    let shape = Shape {
        filter: last.filter.filter(|_| late.is_none()),
        limits: roomy_limits(last.process),
        extra: late.filter(|_| !last.process.no_new_privileges).map_or(0, |_| SYS_ADMIN),
        keep: Some(keep),
    };
    let command = assume(last, channel, warnings, clock, shape)?;
    // SAFETY: fork(2), by the call whose arguments filters can see (clone3 hides them); the child goes on with a copy of this stack.
    match sys::check(unsafe { libc::syscall(libc::SYS_clone, SIBLING, 0, 0, 0, 0) }, "clone", None)? {
        0 => {}
        pid => {
            channel.send(&Message::Forked(pid as i32))?;
            leave(0)
        }
    }
    new_session()?;
    if last.terminal {
        terminal::control().map_err(|failure| failure.at("terminal"))?;
    }
    // This process counts for its user's limit; the process that forked it does not.
    identity::set_rlimits(&process_limits(last.process), &mut Vec::new()).map_err(|failure| failure.at("rlimits"))?;
    if let Some(filter) = late {
        seccomp::install(filter, last.filter_flags).map_err(|failure| failure.at("seccomp"))?;
        if let Some(wanted) = &last.process.capabilities {
            let sets = Sets::of(wanted, &mut Vec::new()).map_err(|failure| failure.at("capabilities"))?;
            sets.apply().map_err(|failure| failure.at("capabilities"))?;
        }
    }
    Err(command.execute(last.reaper))
}

/// Continues as a new process in another pid namespace, with only the descriptors of the channel, the gate, the reaper and 0, 1, 2. The
/// caller must have dropped all other descriptors that it owned.
pub fn be_born_in(namespace: BorrowedFd, channel: &Channel, gate: BorrowedFd, reaper: Option<BorrowedFd>) -> Result<()> {
    namespaces::join(namespace, namespaces::PID).map_err(|failure| failure.at("namespaces"))?;
    let mut keep = vec![channel.fd(), gate.as_raw_fd()];
    keep.extend(reaper.map(|reaper| reaper.as_raw_fd()));
    // SAFETY: the caller has dropped all other descriptors that it owned, as this function's contract requires.
    unsafe { close_all_but(keep)? };
    if let Forked::Parent { pid, .. } = namespaces::fork(0, None, true)? {
        channel.send(&Message::Forked(pid))?;
        leave(0)
    }
    new_session()
}

/// The new process becomes a child of the caller's parent.
const SIBLING: libc::c_long = (libc::CLONE_PARENT | libc::SIGCHLD) as libc::c_long;

/// CAP_SYS_ADMIN.
const SYS_ADMIN: u64 = 1 << 21;

/// Whether a filter allows the steps between its installation and the command.
#[allow(clippy::unnecessary_cast, reason = "TIOCSCTTY has another type in musl")]
fn lets_begin(filter: &[u8], last: &Last) -> bool {
    let allows = |number, arguments| seccomp::allows(filter, number, arguments);
    allows(libc::SYS_clone, [SIBLING as u64, 0, 0, 0, 0, 0])
        && allows(libc::SYS_setsid, [0; 6])
        && allows(libc::SYS_write, [0; 6])
        && allows(libc::SYS_exit_group, [0; 6])
        && (!last.terminal || allows(libc::SYS_ioctl, [0, libc::TIOCSCTTY as u64, 0, 0, 0, 0]))
        && (process_limits(last.process).is_empty() || allows(libc::SYS_prlimit64, [0; 6]))
}

/// The attributes that a process assumes before it executes the command.
struct Shape<'a> {
    filter: Option<&'a [u8]>,
    limits: Vec<Rlimit>,
    /// Additional capabilities that it keeps.
    extra: u64,
    /// The only descriptors above 2 that stay open; None: all stay open until exec.
    keep: Option<Vec<RawFd>>,
}

/// Gives the calling process the container's user, capabilities, limits and filter, and reports that it is ready to execute.
fn assume(last: &Last, channel: &Channel, mut warnings: Vec<String>, mut clock: Clock, shape: Shape) -> Result<Command> {
    let process = last.process;
    let command = Command::of(process)?;
    prepare(last)?;
    let sets = match &process.capabilities {
        Some(wanted) => {
            let sets = Sets::of(wanted, &mut warnings).map_err(|failure| failure.at("capabilities"))?;
            Some(sets.with(shape.extra))
        }
        None => None,
    };
    if !last.terminal {
        terminal::own_null().map_err(|failure| failure.at("stdio"))?;
        terminal::hand_over([0, 1, 2], process.user.uid);
    }
    // All descriptors above 2 close at exec: a directory of the host among them would allow an escape (CVE-2024-21626).
    match shape.keep {
        Some(keep) => {
            // SAFETY: the caller ends in execve or in `leave`, and uses only the channel and the reaper, which are kept.
            unsafe { close_all_but(keep)? };
        }
        None => close_on_exec()?,
    }
    // First as root: a user may work in a directory whose path the user can't enter.
    let early = change_directory(&process.cwd);
    // After everything that opens a descriptor: the container may be allowed few of them.
    identity::set_rlimits(&shape.limits, &mut warnings).map_err(|failure| failure.at("rlimits"))?;
    outlive_parent()?;
    // The caller may have blocked some.
    signals::unblock_all();
    clock.lap("process");
    channel.send(&Message::Executing {
        warnings,
        timings: std::mem::take(&mut clock.laps),
    })?;

    let install = || match shape.filter {
        Some(filter) => seccomp::install(filter, last.filter_flags).map_err(|failure| failure.at("seccomp")),
        None => Ok(()),
    };
    if process.no_new_privileges {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, "PR_SET_NO_NEW_PRIVS")?;
    } else {
        // This needs CAP_SYS_ADMIN, which is dropped next.
        install()?;
    }
    if let Some(sets) = &sets {
        sets.bound().map_err(|failure| failure.at("capabilities"))?;
    }
    identity::become_user(&process.user).map_err(|failure| failure.at("user"))?;
    if let Some(sets) = &sets {
        sets.apply().map_err(|failure| failure.at("capabilities"))?;
    }
    if early.is_err() {
        change_directory(&process.cwd).map_err(|failure| failure.at("cwd"))?;
    }
    check_directory(&process.cwd)?;
    if process.no_new_privileges {
        install()?;
    }
    Ok(command)
}

fn prepare(last: &Last) -> Result<()> {
    let process = last.process;
    if let Some(priority) = &process.io_priority {
        identity::set_io_priority(priority).map_err(|failure| failure.at("ioPriority"))?;
    }
    if let Some(scheduler) = &process.scheduler {
        identity::set_scheduler(scheduler).map_err(|failure| failure.at("scheduler"))?;
    }
    labels::set(process, last.procfs)?;
    rustix::process::umask(Mode::from_raw_mode(process.user.umask.unwrap_or(0o022)));
    signals::reset_all();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A filter that allows everything except some system calls.
    fn filter(forbidden: &[&str]) -> Vec<u8> {
        let names: Vec<String> = forbidden.iter().map(|name| (*name).to_owned()).collect();
        let profile = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": if names.is_empty() { serde_json::json!([]) } else { serde_json::json!([{ "names": names, "action": "SCMP_ACT_ERRNO" }]) },
        });
        seccomp::compile_profile(&serde_json::from_value(profile).unwrap()).unwrap()
    }

    #[test]
    fn a_filter_that_forbids_the_last_steps_is_found_out() {
        let process: Process = serde_json::from_str("{}").unwrap();
        let limited: Process = serde_json::from_str(r#"{"rlimits": [{"type": "RLIMIT_NPROC", "soft": 1, "hard": 1}]}"#).unwrap();
        let lets = |process, terminal, forbidden: &[&str]| {
            let last = Last {
                process,
                filter: None,
                filter_flags: 0,
                terminal,
                reaper: None,
                procfs: None,
            };
            lets_begin(&filter(forbidden), &last)
        };
        assert!(lets(&process, true, &[]));
        for name in ["clone", "setsid", "write", "exit_group"] {
            assert!(!lets(&process, false, &[name]), "{name}");
        }
        assert!(lets(&process, false, &["ioctl", "prlimit64"]));
        assert!(!lets(&process, true, &["ioctl"]));
        assert!(!lets(&limited, false, &["prlimit64"]));
    }
}
