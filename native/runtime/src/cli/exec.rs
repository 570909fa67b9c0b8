//! `exec`.

use super::state::{self, Container, Status};
use super::{Global, create, foreground, next, unexpected, value, warn};
use crate::exec::{Exec, exec_and_wait as run};
use crate::stdio::Stdio;
use lexopt::prelude::*;
use std::os::fd::AsFd;
use std::path::PathBuf;
use tsbox_core::container::seccomp;
use tsbox_core::container::spec::Process;
use tsbox_core::failure::{Code, Failure, Result};

/// The process's settings from the command line; all others come from the container's first process.
#[derive(Default)]
struct Options {
    file: Option<PathBuf>,
    cwd: Option<String>,
    env: Vec<String>,
    user: Option<String>,
    groups: Vec<u32>,
    capabilities: Vec<String>,
    no_new_privileges: bool,
    apparmor: Option<String>,
    terminal: bool,
    detach: bool,
    pid_file: Option<PathBuf>,
    console_socket: Option<PathBuf>,
    ignore_paused: bool,
    words: Vec<String>,
}

fn options(parser: &mut lexopt::Parser) -> Result<Options> {
    let mut options = Options::default();
    while let Some(argument) = next(parser)? {
        match argument {
            Long("process") | Short('p') => options.file = Some(PathBuf::from(value(parser)?)),
            Long("cwd") => options.cwd = Some(value(parser)?),
            Long("env") | Short('e') => options.env.push(value(parser)?),
            Long("user") | Short('u') => options.user = Some(value(parser)?),
            Long("additional-gids") | Short('g') => options.groups.push(number(&value(parser)?)?),
            Long("cap") | Short('c') => options.capabilities.push(value(parser)?),
            Long("no-new-privs") => options.no_new_privileges = true,
            Long("apparmor") => options.apparmor = Some(value(parser)?),
            Long("tty") | Short('t') => options.terminal = true,
            Long("detach") | Short('d') => options.detach = true,
            Long("pid-file") => options.pid_file = Some(PathBuf::from(value(parser)?)),
            Long("console-socket") => options.console_socket = Some(PathBuf::from(value(parser)?)),
            Long("ignore-paused") => options.ignore_paused = true,
            Long("preserve-fds") => {
                if value(parser)? != "0" {
                    return Err(Failure::new(
                        Code::Unsupported,
                        "--preserve-fds is not supported: a process gets descriptors 0, 1 and 2",
                    ));
                }
            }
            // All words after the id belong to the command.
            Value(id) => {
                options.words.push(id.to_string_lossy().into_owned());
                let rest = parser.raw_args().map_err(super::invalid)?;
                options.words.extend(rest.map(|word| word.to_string_lossy().into_owned()));
            }
            other => return Err(unexpected(other)),
        }
    }
    Ok(options)
}

fn number(word: &str) -> Result<u32> {
    word.parse()
        .map_err(|_| Failure::new(Code::InvalidArgument, format!("{word:?} is no number")))
}

pub fn exec(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let options = options(parser)?;
    let id = options
        .words
        .first()
        .ok_or_else(|| Failure::new(Code::InvalidArgument, "a container id is missing"))?;
    let container = Container::load(global, &state::checked_id(id)?)?;
    let status = container.status()?;
    if status == Status::Stopped {
        return Err(Failure::new(Code::FailedPrecondition, format!("container {id} is stopped")));
    }
    let spec = container.spec()?;
    let process = process(&options, spec.process.clone().unwrap_or_default())?;
    let profile = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let filter = profile.map(seccomp::compile_profile).transpose()?;
    let pidfd = container
        .process()?
        .ok_or_else(|| Failure::new(Code::FailedPrecondition, format!("container {id} is stopped")))?;
    let size = process.console_size.unwrap_or_default();
    let stdio = if process.terminal {
        Stdio::Terminal {
            rows: size.height,
            columns: size.width,
        }
    } else {
        Stdio::Fds([0, 1, 2])
    };
    let started = run(&Exec {
        pid: container.record.pid,
        pidfd: pidfd.as_fd(),
        cgroup: &container.cgroup()?,
        process: &process,
        stdio,
        seccomp: filter.as_deref(),
    });
    let mut started = match started {
        // The same exit code as runc's: engines recognize these failures by it, since each runtime has its own messages.
        Err(failure) if matches!(failure.code, Code::CommandNotFound | Code::NotExecutable) => {
            super::report(global, &failure);
            return Ok(255);
        }
        answer => answer?,
    };
    warn(global, &started.warnings);
    if let Some(socket) = &options.console_socket
        && let Some(console) = started.console.take()
    {
        create::send_console(socket, &console)?;
    }
    if let Some(file) = &options.pid_file {
        create::write_pid(file, started.pid)?;
    }
    if options.detach {
        Ok(0)
    } else {
        foreground::serve(started.pid, &started.pidfd, started.console)
    }
}

fn process(options: &Options, first: Process) -> Result<Process> {
    if let Some(file) = &options.file {
        let text = std::fs::read(file).map_err(|error| Failure::io(&error, "read", Some(&file.to_string_lossy())))?;
        let wrapped = [b"{\"process\":", text.as_slice(), b"}"].concat();
        return Ok(tsbox_core::container::spec::parse(&wrapped)?.process.unwrap_or_default());
    }
    let mut process = Process {
        args: options.words[1..].to_vec(),
        terminal: options.terminal,
        ..first
    };
    process
        .env
        .retain(|entry| !options.env.iter().any(|new| entry.split('=').next() == new.split('=').next()));
    process.env.extend(options.env.iter().cloned());
    if let Some(cwd) = &options.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some(user) = &options.user {
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        (process.user.uid, process.user.gid) = (number(uid)?, number(gid)?);
        process.user.additional_gids.clear();
    }
    process.user.additional_gids.extend(&options.groups);
    if !options.capabilities.is_empty() {
        let sets = process.capabilities.get_or_insert_default();
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.extend(options.capabilities.iter().cloned());
        }
    }
    process.no_new_privileges |= options.no_new_privileges;
    if options.apparmor.is_some() {
        process.apparmor_profile.clone_from(&options.apparmor);
    }
    Ok(process)
}
