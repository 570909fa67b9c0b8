//! Reaping of dead children. The shim is the subreaper of all processes that its container leaves behind.

use crate::adopted::Seen;
use crate::shim::Shim;
use crate::starting::Starting;
use crate::status;
use std::os::fd::AsFd;
use tsbox_core::peer::protocol::Exit;
use tsbox_core::sys::process;

/// Which children are reaped now.
#[derive(Debug, PartialEq, Eq)]
enum Reaped {
    All,
    /// Only these. The pid of a new process must stay valid until its start has learned it.
    Known(Vec<i32>),
}

/// `own`: the container's first process, until it has ended. `execs`: the processes of execs.
fn reaped_now(is_starting: bool, own: Option<i32>, execs: impl Iterator<Item = i32>) -> Reaped {
    if is_starting {
        Reaped::Known(own.into_iter().chain(execs).collect())
    } else {
        Reaped::All
    }
}

impl Shim {
    pub(crate) fn reap(&mut self) {
        self.signals.drain();
        let own = self.container.as_ref().filter(|container| container.process.exited().is_none());
        match reaped_now(
            !self.starting.is_empty(),
            own.map(|container| container.process.pid),
            self.execs.pids(),
        ) {
            Reaped::All => {
                while let Some((pid, state)) = process::reap(-1) {
                    self.reaped(pid, state);
                }
            }
            Reaped::Known(known) => {
                for (pid, state) in known.into_iter().filter_map(process::reap) {
                    self.reaped(pid, state);
                }
            }
        }
    }

    fn reaped(&mut self, pid: i32, state: i32) {
        match &self.container {
            Some(container) if container.process.pid == pid => self.ended(|out_of_memory| status::exit(state, out_of_memory)),
            _ => drop(self.execs.reaped(pid, state)),
        }
    }

    /// Looks at a first process that is another runtime's child. Called in every round.
    pub(crate) fn look_at_adopted(&mut self) {
        let Some(container) = self.container.as_ref().filter(|container| container.process.exited().is_none()) else {
            return;
        };
        let Some(adopted) = &container.adopted else { return };
        match adopted.look(container.process.pidfd.as_fd()) {
            Seen::Alive => {}
            Seen::Ended(state) => self.ended(|out_of_memory| status::exit(state, out_of_memory)),
            Seen::EndedUnknown => self.ended(status::unknown),
        }
    }

    /// The container's first process has ended. `exit`: its status, given whether memory had run out.
    fn ended(&mut self, exit: impl FnOnce(bool) -> Exit) {
        let Some(container) = self.container.as_mut() else { return };
        // Later events of the cgroup come from its removal.
        container.memory = None;
        let out_of_memory = container.cgroup.oom_killed();
        container.process.exit(exit(out_of_memory));
        // Processes that have joined another container's pid namespace would survive.
        let _ = container.cgroup.kill_all(libc::SIGKILL);
        // An exec that is starting may not be in the cgroup yet.
        self.starting.iter().for_each(Starting::kill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unknown_is_reaped_while_something_starts() {
        assert_eq!(reaped_now(false, Some(5), [7].into_iter()), Reaped::All);
        assert_eq!(reaped_now(true, Some(5), [7, 8].into_iter()), Reaped::Known(vec![5, 7, 8]));
        assert_eq!(reaped_now(true, None, std::iter::empty()), Reaped::Known(vec![]));
    }
}
