//! Namespaces: which of them a process gets new, which it joins, and clone3 with them.

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

/// What `linux.namespaces` asks for; what it does not name is shared with the caller.
#[derive(Default)]
pub struct Namespaces {
    /// CLONE_NEW* of those to be made.
    pub new: i32,
    /// Those to join. User comes first: it gives the right to join the others.
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

    /// The process has one of this kind that is not its starter's.
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

/// A new process: in the child none, in the parent its pid and pidfd.
pub enum Forked {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// clone3 without shared memory, which is fork(2): the caller must be single-threaded, since the child goes on with this program's heap.
/// `cgroup`: a directory of cgroup v2 that the child begins in, with no move. `sibling`: the child is the caller's parent's.
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
        // A sibling's is that of the process that makes it.
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

/// Makes namespaces of the kinds of `flags` (USER among them) that live as long as their descriptors, without a process in them. Answers
/// one a kind: the user namespace last, the others, which belong to it, before it in the order of [`HELD`].
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

/// What [`hold`] holds, in its order.
const HELD: [(i32, &str); 2] = [(NETWORK, "net"), (USER, "user")];

/// It is there for its namespaces alone, until it is killed.
fn wait_for_end() -> ! {
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0, "PR_SET_PDEATHSIG");
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

/// Writes the maps of a process that is in a new user namespace. The caller has CAP_SETUID and CAP_SETGID outside of it.
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

/// A time namespace that the caller's next children are born in; the caller's own is back when this is dropped.
pub struct TimeNamespace {
    own: OwnedFd,
}

impl TimeNamespace {
    /// `Unsupported` where the kernel has none. The offsets can be set only before anybody is in it.
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
        // It can fail for a caller with several threads alone, who could not have come here.
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
