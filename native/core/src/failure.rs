//! The failure type of all native code. Failures go to Node and between processes as data (JSON), never only as text.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The maximum length of a failure's message in bytes. A message may quote another process's data. A frame has room for several.
pub const LONGEST_MESSAGE: usize = 4096;

/// The error codes of the contracts (kernel/src/contract/error.ts) that native code uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    Unsupported,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    Conflict,
    DataLoss,
    Canceled,
    DeadlineExceeded,
    NotExecutable,
    CommandNotFound,
    Internal,
}

/// A failure: a code for logic, a message for people, and the system call that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub code: Code,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syscall: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The stage of a process's start ("cgroup", "rootfs", "exec" …); set by [`Failure::at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure {
            code,
            message: message.into(),
            errno: None,
            syscall: None,
            path: None,
            stage: None,
        }
    }

    /// A system call that failed with `errno`; the code follows from the errno.
    pub fn os(errno: i32, syscall: &str, path: Option<&str>) -> Self {
        let why = std::io::Error::from_raw_os_error(errno);
        let cure = cure_of(errno).map(|cure| format!(": {cure}")).unwrap_or_default();
        let message = match path {
            Some(path) => format!("{syscall} {path}: {why}{cure}"),
            None => format!("{syscall}: {why}{cure}"),
        };
        Failure {
            code: code_of(errno),
            message,
            errno: Some(errno),
            syscall: Some(syscall.to_owned()),
            path: path.map(str::to_owned),
            stage: None,
        }
    }

    /// The calling thread's last errno.
    pub fn last(syscall: &str, path: Option<&str>) -> Self {
        Failure::os(std::io::Error::last_os_error().raw_os_error().unwrap_or(0), syscall, path)
    }

    pub fn io(error: &std::io::Error, syscall: &str, path: Option<&str>) -> Self {
        match error.raw_os_error() {
            Some(errno) => Failure::os(errno, syscall, path),
            None => Failure {
                path: path.map(str::to_owned),
                syscall: Some(syscall.to_owned()),
                ..Failure::new(Code::Internal, format!("{syscall}: {error}"))
            },
        }
    }

    /// Shortens the texts to the room that a message between processes has.
    pub fn bounded(mut self) -> Self {
        shorten(&mut self.message);
        if let Some(path) = &mut self.path {
            shorten(path);
        }
        self
    }

    /// Whether an entry does not exist, or is of another kind: a running process may remove or replace what was listed before.
    pub fn is_gone(&self) -> bool {
        matches!(self.errno, Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) && self.syscall.as_deref() != Some("write")
    }

    /// Names the stage, unless an inner stage is set already.
    pub fn at(mut self, stage: &str) -> Self {
        self.stage.get_or_insert_with(|| stage.to_owned());
        self
    }
}

/// Cuts the middle out of a text that is too long: the reason is at the end, and quoted data may be long.
fn shorten(text: &mut String) {
    if text.len() > LONGEST_MESSAGE {
        let start = text.floor_char_boundary(LONGEST_MESSAGE / 2);
        let end = text.ceil_char_boundary(text.len() - LONGEST_MESSAGE / 4);
        text.replace_range(start..end, "…");
    }
}

/// Runs `work`. A panic in it becomes its failure and does not end the process. Needs a build that unwinds.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Partial results of `work` stay within it: it shares only the host with other calls.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let why = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no reason given".to_owned());
        let line = why.lines().next().unwrap_or_default();
        Err(Failure::new(
            Code::Internal,
            format!("a fault in tsbox's native code ended this call: {line}; the daemon's log says where, please report it"),
        ))
    })
}

fn code_of(errno: i32) -> Code {
    match errno {
        libc::ENOENT | libc::ESRCH => Code::NotFound,
        libc::EEXIST | libc::EADDRINUSE => Code::AlreadyExists,
        libc::EPERM | libc::EACCES => Code::PermissionDenied,
        libc::ENOSPC | libc::EDQUOT | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EAGAIN => Code::ResourceExhausted,
        libc::EBUSY | libc::ETXTBSY => Code::Unavailable,
        libc::EROFS | libc::ENOTEMPTY => Code::FailedPrecondition,
        libc::ECANCELED => Code::Canceled,
        libc::ENOSYS | libc::EOPNOTSUPP => Code::Unsupported,
        libc::EINVAL | libc::ENOTDIR | libc::EISDIR | libc::ELOOP | libc::ENAMETOOLONG | libc::E2BIG | libc::EFBIG => Code::InvalidArgument,
        libc::EOVERFLOW | libc::ERANGE | libc::EDOM | libc::ENODEV | libc::ENXIO | libc::EXDEV | libc::EMLINK => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

/// The advice when the host has run out of a resource, with the same text as the kernel's (kernel/src/host/stamp.ts).
fn cure_of(errno: i32) -> Option<&'static str> {
    match errno {
        libc::ENOSPC | libc::EDQUOT => Some("make room (rm, rmi, system prune), then repeat"),
        libc::EMFILE => Some("end some containers, or raise the engine's limit (ulimit -n), then repeat"),
        libc::ENFILE | libc::ENOMEM => Some("end some programs of the host, then repeat"),
        _ => None,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stage {
            Some(stage) => write!(f, "{stage}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors that trees, limits or names of others cause are not faults of this program.
    #[test]
    fn bounds_of_the_kernel_are_the_callers_mistakes() {
        for errno in [
            libc::EMLINK,
            libc::EOVERFLOW,
            libc::ERANGE,
            libc::ENAMETOOLONG,
            libc::EXDEV,
            libc::ENXIO,
        ] {
            assert_eq!(code_of(errno), Code::InvalidArgument, "{errno}");
        }
        assert_eq!(code_of(libc::EROFS), Code::FailedPrecondition);
    }

    #[test]
    fn text_is_cut_between_two_characters() {
        let failure = Failure::os(libc::E2BIG, "execve", Some(&"ä".repeat(100_000))).bounded();
        assert!(
            failure.message.len() < LONGEST_MESSAGE && failure.message.contains("ä…ä"),
            "{failure}"
        );
        assert!(failure.message.ends_with("(os error 7)"), "{failure}");
        assert!(failure.path.unwrap().len() < LONGEST_MESSAGE + 4);
        assert_eq!(Failure::new(Code::Internal, "short").bounded().message, "short");
    }

    #[test]
    fn a_panic_is_a_failure_of_the_call_alone() {
        let failure = caught::<()>(|| panic!("index {} out of range", 3)).unwrap_err();
        assert_eq!(failure.code, Code::Internal);
        assert!(failure.message.contains("index 3 out of range"), "{failure}");
        let failure = caught::<()>(|| Err(Failure::os(libc::ENOENT, "open", None))).unwrap_err();
        assert_eq!(failure.code, Code::NotFound);
        assert_eq!(caught(|| Ok(7)).unwrap(), 7);
    }

    #[test]
    fn a_full_disk_is_reported_with_advice() {
        let failure = Failure::os(libc::ENOSPC, "write", Some("/x"));
        assert_eq!(failure.code, Code::ResourceExhausted);
        assert_eq!(
            failure.message,
            "write /x: No space left on device (os error 28): make room (rm, rmi, system prune), then repeat"
        );
    }
}
