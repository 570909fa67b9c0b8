//! Signals, deaths of children, above all the daemon's, and the launcher's own end.

use crate::daemon::Daemon;
use crate::launcher::Launcher;
use crate::restarts::{Life, Next};
use crate::token::{Kind, token};
use std::time::Instant;
use tsbox_core::peer::protocol::daemon;
use tsbox_core::peer::unit;
use tsbox_core::sys::process;

impl Launcher {
    /// Handles signals. Returns an exit code when the launcher must end.
    pub(crate) fn signalled(&mut self) -> Option<i32> {
        while let Some(signal) = self.signals.next() {
            if signal != libc::SIGCHLD {
                self.shut_down();
            }
        }
        while let Some((pid, status)) = process::reap(-1) {
            if pid == self.daemon.pid {
                if let Some(code) = self.daemon_died(status) {
                    return Some(code);
                }
            } else if let Some((channel, event)) = self.shims.reaped(pid, status) {
                self.daemon.writer.json(daemon::FROM_SHIM, channel, &event);
            } else {
                self.helpers.reaped(pid, status);
            }
        }
        None
    }

    /// A container without a shim has ended whose first process is not a child of this one.
    pub(crate) fn orphan_ended(&mut self, channel: u32) {
        if let Some(event) = self.shims.orphan_ended(channel, &self.epoll) {
            self.daemon.writer.json(daemon::FROM_SHIM, channel, &event);
        }
    }

    pub(crate) fn shut_down(&mut self) {
        self.ending = true;
        let _ = unit::notify("STOPPING=1");
        // A child that is not reaped keeps its pid.
        let _ = process::kill(self.daemon.pid, libc::SIGTERM);
    }

    /// Handles the death of a daemon. Returns an exit code when the launcher must end.
    fn daemon_died(&mut self, status: i32) -> Option<i32> {
        self.receive_from_daemon();
        self.epoll.remove(self.daemon.fd());
        self.shims.give_up_held();
        if self.ending {
            self.sockets.remove();
            return Some(0);
        }
        self.fatal = self.fatal.take().or_else(|| self.read_fatal());
        let life = Life {
            ready: self.daemon.ready,
            served: self.daemon.served,
            age: self.daemon.age(),
        };
        let decided = self.restarts.after(life);
        let fatal = self.fatal.take();
        let pause = match decided {
            Next::Start { pause } if fatal.is_none() => pause,
            _ => {
                let why = fatal.unwrap_or_else(|| {
                    format!(
                        "the daemon does not start (status {status:#x}): see {}/daemon.log",
                        self.options.state.display()
                    )
                });
                return Some(self.give_up(&why));
            }
        };
        crate::say!(
            "tsbox: the daemon {}; it is started again{}",
            died_of(status),
            if pause.is_zero() {
                String::new()
            } else {
                format!(" in {} s", pause.as_secs_f64())
            }
        );
        self.daemon.ready = false;
        self.restart = Some(Instant::now() + pause);
        if pause.is_zero() { self.start_daemon() } else { None }
    }

    /// Starts a daemon. Returns an exit code if no daemon can be started.
    pub(crate) fn start_daemon(&mut self) -> Option<i32> {
        self.restart = None;
        match Daemon::start(&self.options, &self.home, &self.sockets.http) {
            Ok(daemon) => {
                self.daemon = daemon;
                self.greet();
                let _ = self.epoll.add(self.daemon.fd(), token(Kind::Daemon, 0));
                None
            }
            Err(error) => Some(self.give_up(&format!("can't start Node 24: {error}"))),
        }
    }

    /// The reason that a daemon wrote to a file when it could not start.
    fn read_fatal(&self) -> Option<String> {
        let path = self.options.state.join("daemon.fatal");
        let words = std::fs::read_to_string(&path).ok()?;
        let _ = std::fs::remove_file(path);
        Some(words.trim().to_owned())
    }

    fn give_up(&mut self, why: &str) -> i32 {
        let waiting: Vec<u32> = self.clients.each().map(|(number, _)| number).collect();
        for number in waiting {
            self.report_and_end(number, why);
        }
        crate::say!("tsbox: {why}");
        self.sockets.remove();
        1
    }
}

/// Describes how a process ended.
fn died_of(status: i32) -> String {
    if libc::WIFSIGNALED(status) {
        format!("was killed by signal {}", libc::WTERMSIG(status))
    } else {
        format!("ended with exit code {}", libc::WEXITSTATUS(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_described() {
        assert_eq!(died_of(libc::SIGKILL), "was killed by signal 9");
        assert_eq!(died_of(3 << 8), "ended with exit code 3");
    }
}
