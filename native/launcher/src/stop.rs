//! `tsbox daemon stop`: ends launcher and daemon, and waits for their end. Containers go on.

use crate::options::Options;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use tsbox_core::peer::address;
use tsbox_core::sys::{credentials, poll, process};

/// How long an engine may take to end. Its plugins have a shorter timeout.
const DEADLINE: Duration = Duration::from_secs(60);

/// Stops the engine at the given address, otherwise that of the state directory. The kernel names the process that listens there.
pub fn stop(options: &Options) -> Result<(), String> {
    let (stream, pid) = find(options)?;
    let pidfd = process::open(pid).map_err(|failure| format!("can't find the engine's process {pid}: {failure}"))?;
    if ended(&stream) {
        // The pid may belong to another process by now.
        return Ok(());
    }
    process::signal(pidfd.as_fd(), libc::SIGTERM).map_err(|failure| format!("can't stop the engine (process {pid}): {failure}"))?;
    wait(stream)
        .map_err(|_| format!("the engine (process {pid}) does not end: its log says why; `kill -9 {pid}` ends it, and containers go on",))
}

/// Returns a connection to the launcher, and the launcher's pid.
fn find(options: &Options) -> Result<(UnixStream, i32), String> {
    let of_state = || {
        connect(&options.state.join(address::LAUNCHER), || {
            format!("no engine runs in {}", options.state.display())
        })
    };
    let Some(host) = &options.given.host else { return of_state() };
    let (stream, pid) = if options.given.state.is_some() {
        of_state()?
    } else {
        connect(&address::link(host), || {
            format!(
                "what listens on {} is no engine of tsbox's: stop it by its own command",
                host.display()
            )
        })?
    };
    if !listens(pid, host)? {
        return Err(match &options.given.state {
            Some(state) => format!(
                "the engine in {} does not listen on {}: give one of them",
                state.display(),
                host.display()
            ),
            None => format!(
                "what listens on {} is no engine of tsbox's: stop it by its own command",
                host.display()
            ),
        });
    }
    Ok((stream, pid))
}

/// How long a daemon that has just died may take until it listens again.
const RESTART: Duration = Duration::from_secs(10);

/// Whether the engine of this launcher listens on `host`. The launcher called listen(2) there, and its daemon after it; the kernel names
/// the last caller.
fn listens(launcher: i32, host: &Path) -> Result<bool, String> {
    let end = Instant::now() + RESTART;
    loop {
        let (_stream, listening) = connect(host, || format!("no engine listens on {}", host.display()))?;
        if listening == launcher {
            return Ok(true);
        }
        match parent(listening) {
            Some(parent) => return Ok(parent == launcher),
            None if Instant::now() > end => return Ok(false),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The parent of a process. None: there is no such process, or it has died.
fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The process's name, in brackets, may contain any character.
    let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    match words.next()? {
        "Z" | "X" => None,
        _ => words.next()?.parse().ok(),
    }
}

/// Connects, and returns the pid of the process that called listen(2).
fn connect(path: &Path, nobody: impl Fn() -> String) -> Result<(UnixStream, i32), String> {
    let stream = address::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!("permission denied on {}: be root", path.display()),
        _ => nobody(),
    })?;
    let pid = credentials::of(&stream).map_or(0, |peer| peer.pid);
    // 0: the process is in another pid namespace.
    if pid <= 0 {
        return Err(format!(
            "can't see the process that listens on {}: stop it where it runs",
            path.display()
        ));
    }
    Ok((stream, pid))
}

/// Whether the peer has closed the connection.
fn ended(stream: &UnixStream) -> bool {
    let mut polled = libc::pollfd {
        fd: stream.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let _ = poll::wait(std::slice::from_mut(&mut polled), 0);
    polled.revents & (libc::POLLHUP | libc::POLLERR) != 0
}

/// Waits until the connection ends, which the launcher's end causes.
fn wait(mut stream: UnixStream) -> io::Result<()> {
    let end = Instant::now() + DEADLINE;
    let mut room = [0; 512];
    loop {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut room) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
