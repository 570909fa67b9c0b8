//! The state of a container between two calls: one directory with a record, and a gate (a socket) while the container waits for `start`.

use super::Global;
use crate::hooks::State;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use tsbox_core::container::cgroup::Cgroup;
use tsbox_core::container::spec::{self, Spec};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys::process;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub id: String,
    pub bundle: String,
    pub pid: i32,
    /// Clock ticks after boot. The pid and this time together identify one process.
    pub start_time: u64,
    pub cgroup: String,
    pub created: String,
    /// The spec at the time of `create`: the engine may change the bundle afterwards.
    pub config: String,
}

pub struct Container {
    pub directory: PathBuf,
    pub record: Record,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// Checks an id, which becomes the name of a directory and of a cgroup.
pub fn checked_id(id: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id.is_empty() || id.len() > 255 || id.starts_with('.') || !id.chars().all(plain) {
        return Err(Failure::new(
            Code::InvalidArgument,
            format!("{id:?} is no container id: letters, digits, _ + - . and no dot first"),
        ));
    }
    Ok(id.to_owned())
}

/// Creates the directory of a container, which reserves its name.
pub fn claim(global: &Global, id: &str) -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o711).recursive(true);
    builder
        .create(&global.root)
        .map_err(|error| Failure::io(&error, "mkdir", Some(&global.root.to_string_lossy())))?;
    let directory = global.root.join(id);
    match builder.recursive(false).create(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Failure::new(Code::AlreadyExists, format!("container {id} exists already")))
        }
        Err(error) => Err(Failure::io(&error, "mkdir", Some(&directory.to_string_lossy()))),
        Ok(()) => Ok(directory),
    }
}

impl Container {
    pub fn load(global: &Global, id: &str) -> Result<Container> {
        let directory = global.root.join(id);
        let text = std::fs::read(directory.join("state.json")).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(Code::NotFound, format!("container {id} does not exist")),
            _ => Failure::io(&error, "read", Some(&directory.to_string_lossy())),
        })?;
        let record = serde_json::from_slice(&text).map_err(|error| Failure::new(Code::DataLoss, format!("state of {id}: {error}")))?;
        Ok(Container { directory, record })
    }

    /// Writes a new file and renames it, so that readers see all of it or nothing.
    pub fn save(&self) -> Result<()> {
        let text = serde_json::to_vec(&self.record).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        let (fresh, final_) = (self.directory.join("state.new"), self.directory.join("state.json"));
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::rename(&fresh, &final_))
            .map_err(|error| Failure::io(&error, "write", Some(&fresh.to_string_lossy())))
    }

    pub fn spec(&self) -> Result<Spec> {
        spec::parse(self.record.config.as_bytes())
    }

    pub fn cgroup(&self) -> Result<Cgroup> {
        Cgroup::at(&self.record.cgroup)
    }

    pub fn gate(&self) -> PathBuf {
        gate(&self.directory)
    }

    /// A pidfd of the container's first process, never of a later process with the same pid; None: the process has ended.
    pub fn process(&self) -> Result<Option<OwnedFd>> {
        match process::open(self.record.pid) {
            Err(failure) if matches!(failure.errno, Some(libc::ESRCH | libc::EINVAL)) => Ok(None),
            Err(failure) => Err(failure),
            Ok(pidfd) => Ok((start_time(self.record.pid) == Some(self.record.start_time)).then_some(pidfd)),
        }
    }

    pub fn status(&self) -> Result<Status> {
        Ok(match self.process()? {
            None => Status::Stopped,
            Some(_) if self.gate().exists() => Status::Created,
            Some(_) if self.cgroup().is_ok_and(|cgroup| cgroup.is_frozen()) => Status::Paused,
            Some(_) => Status::Running,
        })
    }

    pub fn described(&self, spec: &Spec) -> Result<serde_json::Value> {
        let status = self.status()?;
        let pid = if status == Status::Stopped { 0 } else { self.record.pid };
        let mut value = serde_json::to_value(State::new(spec, &self.record.id, status.word(), pid, &self.record.bundle))
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("created".to_owned(), self.record.created.clone().into());
            fields.insert("pid".to_owned(), pid.into());
        }
        Ok(value)
    }
}

pub fn gate(directory: &Path) -> PathBuf {
    directory.join("gate")
}

/// Field 22 of /proc/PID/stat; None for a dead process, even if its parent has not reaped it.
pub fn start_time(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain any character.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        None
    } else {
        fields.get(19)?.parse().ok()
    }
}

/// The current time, as RFC 3339 in UTC.
pub fn timestamp() -> String {
    // SAFETY: time, gmtime_r and strftime write into what they are given.
    unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &mut now);
        let mut parts: libc::tm = std::mem::zeroed();
        libc::gmtime_r(&now.tv_sec, &mut parts);
        let mut text = [0u8; 32];
        let length = libc::strftime(text.as_mut_ptr().cast(), text.len(), c"%Y-%m-%dT%H:%M:%S".as_ptr(), &parts);
        format!("{}.{:09}Z", String::from_utf8_lossy(&text[..length]), now.tv_nsec)
    }
}
