//! Namespaces: which ones a process creates, which ones it joins, and clone3 with them.

use super::spec::{ClockOffset, Namespace, TimeOffsets};
use crate::failure::{Code, Failure, Result};
use crate::id_maps::{IdMap, IdMaps};
use crate::sys::{self, Call};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces, unshare_unsafe};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub const USER: i32 = libc::CLONE_NEWUSER;
pub const PID: i32 = libc::CLONE_NEWPID;
pub const MOUNT: i32 = libc::CLONE_NEWNS;
pub const NETWORK: i32 = libc::CLONE_NEWNET;
pub const IPC: i32 = libc::CLONE_NEWIPC;
pub const UTS: i32 = libc::CLONE_NEWUTS;
pub const CGROUP: i32 = libc::CLONE_NEWCGROUP;
pub const TIME: i32 = 0x80;

/// The namespaces of `linux.namespaces`. All others are shared with the caller.
#[derive(Default)]
pub struct Namespaces {
    /// The CLONE_NEW* flags of the namespaces that are created.
    pub new: i32,
    /// The namespaces that are joined. User comes first, since it gives the right to join the others.
    pub join: Vec<(i32, OwnedFd)>,
}

impl Namespaces {
    pub fn open(wanted: &[Namespace]) -> Result<Namespaces> {
        let mut namespaces = Namespaces::default();
        let mut seen = 0;
        for namespace in wanted {
            let kind = flag(&namespace.type_)?;
            if seen & kind != 0 {
                return Err(Failure::new(
                    Code::InvalidArgument,
                    format!("namespace {} is named twice", namespace.type_),
                ));
            }
            seen |= kind;
            match namespace.path.as_deref().filter(|path| !path.is_empty()) {
                None => namespaces.new |= kind,
                Some(path) => namespaces.join.push((kind, sys::open(path, libc::O_RDONLY)?)),
            }
        }
        namespaces.join.sort_by_key(|(kind, _)| *kind != USER);
        Ok(namespaces)
    }

    pub fn joined(&self, kind: i32) -> Option<BorrowedFd<'_>> {
        self.join.iter().find(|(one, _)| *one == kind).map(|(_, fd)| fd.as_fd())
    }

    /// Whether the process has a namespace of this kind that is not the caller's.
    pub fn separate(&self, kind: i32) -> bool {
        self.new & kind != 0 || self.joined(kind).is_some()
    }
}

pub fn flag(name: &str) -> Result<i32> {
    Ok(match name {
        "user" => USER,
        "pid" => PID,
        "mount" => MOUNT,
        "network" => NETWORK,
        "ipc" => IPC,
        "uts" => UTS,
        "cgroup" => CGROUP,
        "time" => TIME,
        other => return Err(Failure::new(Code::InvalidArgument, format!("no such namespace: {other}"))),
    })
}

pub fn join(namespace: BorrowedFd, kinds: i32) -> Result<()> {
    move_into_thread_name_spaces(namespace, ThreadNameSpaceType::from_bits_retain(kinds as u32)).call("setns", None)
}

pub fn unshare(kinds: i32) -> Result<()> {
    // SAFETY: namespaces alone; nothing of the memory or of the descriptors that threads share is unshared.
    unsafe { unshare_unsafe(UnshareFlags::from_bits_retain(kinds as u32)) }.call("unshare", None)
}

/// The result of a fork. The parent gets the new process's pid and pidfd.
pub enum Forked {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// Calls clone3 without shared memory, like fork(2). The caller must be single-threaded, since the child continues with this program's
/// heap. `cgroup`: a cgroup v2 directory in which the child is created without a move. `sibling`: the child becomes a child of the caller's
/// parent.
pub fn fork(namespaces: i32, cgroup: Option<BorrowedFd>, sibling: bool) -> Result<Forked> {
    #[repr(C)]
    #[derive(Default)]
    struct CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArgs {
        flags: namespaces as u32 as u64 | libc::CLONE_PIDFD as u64 | if sibling { libc::CLONE_PARENT as u64 } else { 0 },
        pidfd: &raw mut pidfd as u64,
        // A sibling gets the exit signal of the process that forks it.
        exit_signal: if sibling { 0 } else { libc::SIGCHLD as u64 },
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: the arguments have the kernel's layout and their size goes along; the child runs on a copy of this stack.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &mut arguments, std::mem::size_of::<CloneArgs>()) };
    match sys::check(pid, "clone3", None)? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent {
            pid: pid as i32,
            // SAFETY: CLONE_PIDFD wrote a descriptor that nobody else has.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Creates namespaces of the kinds in `flags` (which include USER) that live as long as their descriptors, without a process in them.
/// Returns one descriptor per kind: the user namespace last, the others, which belong to it, before it in the order of [`HELD`].
pub fn hold(flags: i32, maps: &IdMaps) -> Result<Vec<OwnedFd>> {
    let Forked::Parent { pid, pidfd } = fork(flags, None, false)? else {
        wait_for_end()
    };
    let files = HELD.iter().filter(|(kind, _)| flags & kind != 0);
    let opened = write_maps(pid, &maps.uids, &maps.gids).and_then(|()| {
        files
            .map(|(_, file)| sys::open(&format!("/proc/{pid}/ns/{file}"), libc::O_RDONLY))
            .collect()
    });
    let _ = sys::process::signal(pidfd.as_fd(), libc::SIGKILL);
    sys::process::reap_by(pidfd.as_fd());
    opened
}

/// The kinds of namespaces that [`hold`] holds, in its order.
const HELD: [(i32, &str); 2] = [(NETWORK, "net"), (USER, "user")];

/// Waits until the process is killed. The process exists only for its namespaces.
fn wait_for_end() -> ! {
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0, "PR_SET_PDEATHSIG");
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

/// Writes the maps of a process in a new user namespace. The caller must have CAP_SETUID and CAP_SETGID outside of it.
pub fn write_maps(pid: i32, uids: &[IdMap], gids: &[IdMap]) -> Result<()> {
    let lines = |maps: &[IdMap]| {
        maps.iter()
            .map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size))
            .collect::<String>()
    };
    let proc = super::procfs::Procfs::of_host()?;
    proc.write(&format!("{pid}/gid_map"), &lines(gids))?;
    proc.write(&format!("{pid}/uid_map"), &lines(uids))
}

/// A time namespace in which the caller's next children are created. Drop returns to the caller's own one.
pub struct TimeNamespace {
    own: OwnedFd,
}

impl TimeNamespace {
    /// Fails with `Unsupported` if the kernel has no time namespaces. The offsets can be set only before a process is in the namespace.
    pub fn enter(offsets: &TimeOffsets) -> Result<TimeNamespace> {
        let entered = TimeNamespace {
            own: sys::open("/proc/self/ns/time", libc::O_RDONLY).map_err(lacks_time)?,
        };
        unshare(TIME).map_err(lacks_time)?;
        let line = |clock: &str, offset: Option<ClockOffset>| {
            offset.map_or(String::new(), |offset| format!("{clock} {} {}\n", offset.secs, offset.nanosecs))
        };
        let lines = line("monotonic", offsets.monotonic) + &line("boottime", offsets.boottime);
        if !lines.is_empty() {
            super::procfs::Procfs::of_host()?
                .write("self/timens_offsets", &lines)
                .map_err(|failure| match failure.errno {
                    Some(libc::ERANGE) => Failure {
                        code: Code::InvalidArgument,
                        message: "the time offset would set a clock before 0, or too far ahead".into(),
                        ..failure
                    },
                    _ => failure,
                })?;
        }
        Ok(entered)
    }
}

impl Drop for TimeNamespace {
    fn drop(&mut self) {
        // This fails only for a caller with several threads, for which `enter` fails, too.
        let _ = join(self.own.as_fd(), TIME);
    }
}

fn lacks_time(failure: Failure) -> Failure {
    match failure.errno {
        Some(libc::EINVAL | libc::ENOENT) => Failure {
            code: Code::Unsupported,
            message: "this kernel has no time namespaces: leave the time offset out".into(),
            ..failure
        },
        _ => failure,
    }
}
