//! `start`, `state`, `kill`, `delete`, `pause`, `resume`, `list`, `ps`.

use super::dispose::{dispose, run_late};
use super::state::{Container, Status};
use super::{Global, gate, next, only_id, unexpected, warn};
use crate::channel::{Channel, Message};
use crate::hooks;
use lexopt::prelude::*;
use std::os::fd::AsFd;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys::process;

pub fn start(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let container = Container::load(global, &only_id(parser)?)?;
    let status = container.status()?;
    if status != Status::Created {
        return Err(Failure::new(
            Code::FailedPrecondition,
            format!("container {} is {}, not created", container.record.id, status.word()),
        ));
    }
    let channel = Channel::of(gate::connect(&container.gate())?);
    // A container starts only once, whatever the result.
    let _ = std::fs::remove_file(container.gate());
    let mut executing = false;
    loop {
        match channel.receive()? {
            Some((Message::Executing { warnings, .. }, _)) => {
                warn(global, &warnings);
                executing = true;
            }
            Some((Message::Failed(failure), _)) => return Err(failure),
            Some(_) => {}
            None if executing => break,
            None => return Err(Failure::new(Code::FailedPrecondition, "the container was killed before it began")),
        }
    }
    let spec = container.spec()?;
    let state = hooks::State::new(
        &spec,
        &container.record.id,
        "running",
        container.record.pid,
        &container.record.bundle,
    );
    run_late(
        "poststart",
        spec.hooks.as_ref().map_or(&[], |hooks| &hooks.poststart),
        &state,
        global,
    );
    Ok(0)
}

pub fn state(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let container = Container::load(global, &only_id(parser)?)?;
    println!("{:#}", container.described(&container.spec()?)?);
    Ok(0)
}

pub fn list(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let (mut json, mut quiet) = (false, false);
    while let Some(argument) = next(parser)? {
        match argument {
            Long("format") | Short('f') => json = super::value(parser)? == "json",
            Long("quiet") | Short('q') => quiet = true,
            other => return Err(unexpected(other)),
        }
    }
    let entries = std::fs::read_dir(&global.root).into_iter().flatten().flatten();
    let mut containers: Vec<Container> = entries
        .filter_map(|entry| Container::load(global, &entry.file_name().to_string_lossy()).ok())
        .collect();
    containers.sort_by(|one, other| one.record.id.cmp(&other.record.id));
    if json {
        let all = containers
            .iter()
            .map(|container| container.described(&container.spec()?))
            .collect::<Result<Vec<_>>>()?;
        println!("{}", serde_json::Value::from(all));
    } else if quiet {
        containers.iter().for_each(|container| println!("{}", container.record.id));
    } else {
        println!("{:<40} {:<8} {:<8} BUNDLE", "ID", "PID", "STATUS");
        for container in &containers {
            let status = container.status()?;
            let pid = if status == Status::Stopped { 0 } else { container.record.pid };
            println!(
                "{:<40} {pid:<8} {:<8} {}",
                container.record.id,
                status.word(),
                container.record.bundle
            );
        }
    }
    Ok(0)
}

pub fn processes(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let mut id = None;
    let mut json = false;
    while let Some(argument) = next(parser)? {
        match argument {
            Long("format") | Short('f') => json = super::value(parser)? == "json",
            Value(word) if id.is_none() => id = Some(super::state::checked_id(&word.to_string_lossy())?),
            other => return Err(unexpected(other)),
        }
    }
    let id = id.ok_or_else(|| Failure::new(Code::InvalidArgument, "a container id is missing"))?;
    let pids = Container::load(global, &id)?.cgroup()?.pids()?;
    if json {
        println!("{}", serde_json::Value::from(pids));
    } else {
        pids.iter().for_each(|pid| println!("{pid}"));
    }
    Ok(0)
}

pub fn kill(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let (mut all, mut words) = (false, Vec::new());
    while let Some(argument) = next(parser)? {
        match argument {
            Long("all") | Short('a') => all = true,
            Value(word) if words.len() < 2 => words.push(word.to_string_lossy().into_owned()),
            other => return Err(unexpected(other)),
        }
    }
    let id = words
        .first()
        .ok_or_else(|| Failure::new(Code::InvalidArgument, "a container id is missing"))?;
    let signal = signal(words.get(1).map_or("SIGTERM", String::as_str))?;
    let container = Container::load(global, &super::state::checked_id(id)?)?;
    if all {
        container.cgroup()?.kill_all(signal)?;
        return Ok(0);
    }
    let pidfd = container
        .process()?
        .ok_or_else(|| Failure::new(Code::FailedPrecondition, "container not running"))?;
    process::signal(pidfd.as_fd(), signal)?;
    // On cgroup v1 even SIGKILL waits until a frozen group is thawed.
    if signal == libc::SIGKILL && container.cgroup()?.is_frozen() {
        container.cgroup()?.thaw()?;
    }
    Ok(0)
}

pub fn pause(global: &Global, parser: &mut lexopt::Parser, pause: bool) -> Result<i32> {
    let container = Container::load(global, &only_id(parser)?)?;
    if container.status()? == Status::Stopped {
        return Err(Failure::new(Code::FailedPrecondition, "container not running"));
    }
    if pause {
        container.cgroup()?.freeze()?
    } else {
        container.cgroup()?.thaw()?
    }
    Ok(0)
}

pub fn delete(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let (mut force, mut id) = (false, None);
    while let Some(argument) = next(parser)? {
        match argument {
            Long("force") | Short('f') => force = true,
            Value(word) if id.is_none() => id = Some(super::state::checked_id(&word.to_string_lossy())?),
            other => return Err(unexpected(other)),
        }
    }
    let id = id.ok_or_else(|| Failure::new(Code::InvalidArgument, "a container id is missing"))?;
    let container = match Container::load(global, &id) {
        Err(failure) if force && failure.code == Code::NotFound => {
            // A killed `create` leaves a directory without a record.
            let _ = std::fs::remove_dir_all(global.root.join(&id));
            return Ok(0);
        }
        answer => answer?,
    };
    let status = container.status()?;
    // A container that waits at its gate has run nothing of the user's. runc deletes it without --force, too.
    if matches!(status, Status::Running | Status::Paused) && !force {
        return Err(Failure::new(
            Code::FailedPrecondition,
            format!("container {id} is {}: kill it first, or use --force", status.word()),
        ));
    }
    let spec = container.spec()?;
    if status == Status::Paused {
        container.cgroup()?.thaw()?;
    }
    dispose(global, &container, &spec)?;
    Ok(0)
}

/// `15`, `TERM`, `SIGTERM`.
fn signal(word: &str) -> Result<i32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
        "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    if let Ok(number) = word.parse::<i32>() {
        return if (0..=64).contains(&number) {
            Ok(number)
        } else {
            Err(Failure::new(Code::InvalidArgument, format!("no such signal: {word}")))
        };
    }
    let upper = word.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(at) = NAMES.iter().position(|name| *name == bare) {
        return Ok(at as i32 + 1);
    }
    let real_time = |prefix: &str, base: i32, sign: i32| {
        let offset = bare.strip_prefix(prefix)?;
        let offset = if offset.is_empty() { 0 } else { offset[1..].parse::<i32>().ok()? };
        Some(base + sign * offset)
    };
    real_time("RTMIN", 34, 1)
        .or_else(|| real_time("RTMAX", 64, -1))
        .filter(|number| (34..=64).contains(number))
        .ok_or_else(|| Failure::new(Code::InvalidArgument, format!("no such signal: {word}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        let of = |word| signal(word).unwrap();
        assert_eq!(
            [of("9"), of("KILL"), of("sigterm"), of("SIGRTMIN+3"), of("RTMAX-1")],
            [9, 9, 15, 37, 63]
        );
        assert!(signal("NOTHING").is_err() && signal("99").is_err());
    }
}
