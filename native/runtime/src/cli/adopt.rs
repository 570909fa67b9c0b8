//! `adopt LAUNCH`: starts a launch of kind `command` of the engine's exec contract as the engine's shim does, and stays until its process
//! ends. The conformance suite uses it, since a process that adopts others must be a subreaper.

use super::{foreground, next, unexpected};
use crate::commands::{LaunchCommand, command, join_command};
use crate::stdio::Stdio;
use lexopt::prelude::*;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tsbox_core::container::cgroup::Cgroup;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::mount::Mount;
use tsbox_core::sys;

/// How long the processes of the container may take to end after its first one.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// The launch, and what the shim would know besides.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(flatten)]
    launch: LaunchCommand,
    /// What is mounted at `rootfs`.
    #[serde(default)]
    root: Vec<Mount>,
    #[serde(default)]
    terminal: bool,
}

pub fn adopt(parser: &mut lexopt::Parser) -> Result<i32> {
    let path = match next(parser)? {
        Some(Value(word)) => PathBuf::from(word),
        Some(other) => return Err(unexpected(other)),
        None => return Err(Failure::new(Code::InvalidArgument, "the file of the launch is missing")),
    };
    let file = read(&path)?;
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, "prctl(PR_SET_CHILD_SUBREAPER)")?;
    let stdio = if file.terminal {
        Stdio::Terminal { rows: 0, columns: 0 }
    } else {
        Stdio::Fds([0, 1, 2])
    };
    let commands = file.launch.commands(&file.root, stdio, None);
    let (pid, pidfd, console, cgroup) = match &file.launch.cgroup {
        Some(path) => {
            let (started, _) = command(&commands, path)?.wait()?;
            (started.pid, started.pidfd, started.console, Some(started.cgroup))
        }
        None => {
            let launched = join_command(&commands)?.wait()?;
            (launched.pid, launched.pidfd, launched.console, None)
        }
    };
    let code = foreground::serve(pid, &pidfd, console)?;
    if let Some(cgroup) = cgroup {
        clear(&cgroup);
    }
    Ok(code)
}

fn read(path: &Path) -> Result<File> {
    let text = std::fs::read(path).map_err(|error| Failure::io(&error, "read", Some(&path.to_string_lossy())))?;
    serde_json::from_slice(&text).map_err(|error| Failure::new(Code::InvalidArgument, format!("{}: {error}", path.display())))
}

/// Ends and reaps what the first process has left, and removes the cgroup.
fn clear(cgroup: &Cgroup) {
    let _ = cgroup.kill_all(libc::SIGKILL);
    let end = std::time::Instant::now() + END_TIMEOUT;
    while cgroup.pids().is_ok_and(|pids| !pids.is_empty()) && std::time::Instant::now() < end {
        while sys::process::reap(-1).is_some() {}
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = cgroup.remove();
}
