//! The identity and limits of a process: user, groups, limits, priority, names.

use super::spec::{IoPriority, Rlimit, Scheduler, User};
use crate::failure::{Code, Failure, Result};
use crate::sys::{self, Call};

/// Sets groups, gid and uid permanently. Permitted capabilities survive (PR_SET_KEEPCAPS) until [`super::capabilities::Sets::apply`]; exec
/// clears the flag.
pub fn become_user(user: &User) -> Result<()> {
    sys::prctl(libc::PR_SET_KEEPCAPS, 1, 0, "PR_SET_KEEPCAPS")?;
    // SAFETY: plain numbers and an array of that length. Raw calls: a C library would send signals to threads that are not there.
    unsafe {
        let groups = libc::syscall(libc::SYS_setgroups, user.additional_gids.len(), user.additional_gids.as_ptr());
        match sys::check(groups, "setgroups", None) {
            // The user namespace of an unprivileged user forbids setgroups. That is harmless if there are no groups to set.
            Err(failure) if failure.errno == Some(libc::EPERM) && user.additional_gids.is_empty() => {}
            answer => drop(answer?),
        }
        sys::check(libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid), "setresgid", None)?;
        sys::check(libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid), "setresuid", None)?;
    }
    sys::prctl(libc::PR_SET_KEEPCAPS, 0, 0, "PR_SET_KEEPCAPS").map(drop)
}

/// Sets limits. To raise a hard limit needs CAP_SYS_RESOURCE, which not every root has. Without it the limit stays, with a warning.
pub fn set_rlimits(limits: &[Rlimit], warnings: &mut Vec<String>) -> Result<()> {
    const NAMES: [&str; 16] = [
        "CPU",
        "FSIZE",
        "DATA",
        "STACK",
        "CORE",
        "RSS",
        "NPROC",
        "NOFILE",
        "MEMLOCK",
        "AS",
        "LOCKS",
        "SIGPENDING",
        "MSGQUEUE",
        "NICE",
        "RTPRIO",
        "RTTIME",
    ];
    for limit in limits {
        let bare = limit.type_.strip_prefix("RLIMIT_").unwrap_or(&limit.type_);
        let Some(number) = NAMES.iter().position(|name| *name == bare) else {
            return Err(Failure::new(Code::InvalidArgument, format!("no such limit: {}", limit.type_)));
        };
        let value = libc::rlimit64 {
            rlim_cur: limit.soft,
            rlim_max: limit.hard,
        };
        // SAFETY: a record of the kernel's layout; none is read back.
        let result = unsafe { libc::syscall(libc::SYS_prlimit64, 0, number, &value, std::ptr::null_mut::<libc::rlimit64>()) };
        match sys::check(result, "prlimit", None) {
            Err(failure) if failure.errno == Some(libc::EPERM) => {
                warnings.push(format!(
                    "limit {bare}={}:{} is above what this host allows; left as it is",
                    limit.soft, limit.hard
                ));
            }
            Err(failure) => {
                return Err(Failure {
                    message: format!("limit {bare}: {}", failure.message),
                    ..failure
                });
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

pub fn set_io_priority(priority: &IoPriority) -> Result<()> {
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(Failure::new(Code::InvalidArgument, format!("no such I/O priority class: {other}"))),
    };
    const PROCESS: i32 = 1;
    // SAFETY: plain numbers.
    sys::check(
        unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, class << 13 | priority.priority) },
        "ioprio_set",
        None,
    )
    .map(drop)
}

pub fn set_scheduler(scheduler: &Scheduler) -> Result<()> {
    #[repr(C)]
    #[derive(Default)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let policy = match scheduler.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => return Err(Failure::new(Code::InvalidArgument, format!("no such scheduler: {other}"))),
    };
    let mut flags = 0;
    for flag in &scheduler.flags {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => return Err(Failure::new(Code::InvalidArgument, format!("no such scheduler flag: {other}"))),
        };
    }
    let attr = SchedAttr {
        size: std::mem::size_of::<SchedAttr>() as u32,
        policy,
        flags,
        nice: scheduler.nice,
        priority: scheduler.priority as u32,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    // SAFETY: a record of the kernel's layout with its size in it.
    sys::check(
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &attr, 0) },
        "sched_setattr",
        None,
    )
    .map(drop)
}

pub fn set_host_name(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes()).call("sethostname", None)
}

pub fn set_domain_name(name: &str) -> Result<()> {
    rustix::system::setdomainname(name.as_bytes()).call("setdomainname", None)
}

/// Sets the name that ps shows until exec.
pub fn set_title(title: &std::ffi::CStr) {
    // SAFETY: a C string; longer than 15 bytes is cut.
    unsafe { libc::prctl(libc::PR_SET_NAME, title.as_ptr()) };
}

/// Creates a new session keyring, so that the container does not get the caller's keys. Errors of a kernel without keyrings or with a full
/// quota do not prevent the start.
pub fn join_session_keyring(name: &str) {
    const JOIN_SESSION_KEYRING: i32 = 1;
    if let Ok(name) = sys::text(name) {
        // SAFETY: `name` outlives the call.
        unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) };
    }
}
