//! `events`: a container's usage every few seconds, and each time it runs out of memory, one line of JSON each, in runc's form
//! (https://github.com/opencontainers/runc/blob/main/types/events.go). `--stats`: the usage once.

use super::state::{Container, Status, checked_id};
use super::{Global, next, unexpected, value};
use lexopt::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use tsbox_core::container::cgroup::{Block, MemoryWatch, Stats};
use tsbox_core::failure::{Code, Failure, Result};

pub fn events(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let (mut once, mut interval, mut id) = (false, Duration::from_secs(5), None);
    while let Some(argument) = next(parser)? {
        match argument {
            Long("stats") => once = true,
            Long("interval") => interval = duration(&value(parser)?)?,
            Value(word) if id.is_none() => id = Some(checked_id(&word.to_string_lossy())?),
            other => return Err(unexpected(other)),
        }
    }
    let id = id.ok_or_else(|| Failure::new(Code::InvalidArgument, "a container id is missing"))?;
    let container = Container::load(global, &id)?;
    let stopped = || Failure::new(Code::FailedPrecondition, "container not running");
    if container.status()? == Status::Stopped {
        return Err(stopped());
    }
    let process = container.process()?.ok_or_else(stopped)?;
    let cgroup = container.cgroup()?;
    if once {
        return print(&usage(&id, &cgroup.stats()?)).map(|_| 0);
    }
    let mut memory = cgroup.watch_memory();
    let mut due = Instant::now();
    loop {
        if Instant::now() >= due {
            if !print(&usage(&id, &cgroup.stats()?))? {
                return Ok(0);
            }
            due = Instant::now() + interval;
        }
        let ended = await_next(process.as_fd(), memory.as_ref(), due);
        // The first process may have been killed because memory ran out: that comes first.
        if memory.as_mut().is_some_and(MemoryWatch::ran_out) && !print(&json!({ "type": "oom", "id": id }))? {
            return Ok(0);
        }
        if ended {
            return Ok(0);
        }
    }
}

/// Waits until the process has ended, memory has run out, or the time is `due`. Returns whether the process has ended.
fn await_next(process: BorrowedFd, memory: Option<&MemoryWatch>, due: Instant) -> bool {
    let left = Timespec::try_from(due.saturating_duration_since(Instant::now())).ok();
    let mut fds = vec![PollFd::from_borrowed_fd(process, PollFlags::IN)];
    if let Some(watch) = memory {
        let events = PollFlags::from_bits_truncate(watch.events() as u16);
        fds.push(PollFd::from_borrowed_fd(watch.as_fd(), events));
    }
    let ready = poll(&mut fds, left.as_ref()).is_ok_and(|ready| ready > 0);
    ready && fds.first().is_some_and(|first| !first.revents().is_empty())
}

/// Returns whether anybody still reads.
fn print(event: &serde_json::Value) -> Result<bool> {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{event}").and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::io(&error, "write", None)),
    }
}

fn usage(id: &str, stats: &Stats) -> serde_json::Value {
    let detail = |name: &str| stats.memory_detail.get(name).copied();
    json!({
        "type": "stats",
        "id": id,
        "data": {
            "cpu": {
                "usage": {
                    "total": stats.cpu_nanoseconds,
                    "kernel": stats.cpu_system_nanoseconds,
                    "user": stats.cpu_user_nanoseconds,
                },
                "throttling": {
                    "periods": stats.cpu_periods,
                    "throttledPeriods": stats.cpu_throttled_periods,
                    "throttledTime": stats.cpu_throttled_nanoseconds,
                },
            },
            "memory": {
                // v1 calls it cache, v2 file.
                "cache": detail("total_cache").or_else(|| detail("cache")).or_else(|| detail("file")).unwrap_or(0),
                "usage": {
                    "usage": stats.memory_bytes,
                    "max": stats.memory_peak_bytes,
                    "limit": stats.memory_limit_bytes,
                    "failcnt": stats.memory_failures.unwrap_or(0),
                },
                "raw": stats.memory_detail,
            },
            "pids": { "current": stats.pids, "limit": stats.pids_limit },
            "blkio": { "ioServiceBytesRecursive": stats.block.iter().flat_map(block).collect::<Vec<_>>() },
        },
    })
}

fn block(device: &Block) -> [serde_json::Value; 2] {
    let of = |operation: &str, bytes: u64| json!({ "major": device.major, "minor": device.minor, "op": operation, "value": bytes });
    [of("Read", device.read), of("Write", device.written)]
}

/// `5s`, `500ms`, `1m`; at least a millisecond.
fn duration(word: &str) -> Result<Duration> {
    let wrong = || {
        Failure::new(
            Code::InvalidArgument,
            format!("--interval {word:?} is no duration, such as 5s or 500ms"),
        )
    };
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = word.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let count: u64 = count.parse().map_err(|_| wrong())?;
    match count.checked_mul(milliseconds) {
        Some(all @ 1..=86_400_000) => Ok(Duration::from_millis(all)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        for wrong in ["", "5", "s", "0s", "-1s", "1y", "99999999999999999999h", "25h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
