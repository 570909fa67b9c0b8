//! The end of processes, which the shim reports once, and the end of the shim itself.

use crate::shim::Shim;
use crate::status;
use tsbox_core::peer::protocol::FromShim;

/// The work that is left for a shim.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// The shim goes on serving.
    All,
    /// The shim removes the cgroups. Then it waits until the exit status is written and all output is read.
    CleanUp,
    /// Nothing: the start has failed or was abandoned.
    Nothing,
}

/// `reported`: whether the container's end has been reported; None: there is no container yet. `others`: there are execs, or starts in
/// progress.
fn left(abandoned: bool, reported: Option<bool>, others: bool) -> Left {
    match reported {
        _ if abandoned => Left::Nothing,
        Some(true) if !others => Left::CleanUp,
        _ => Left::All,
    }
}

impl Shim {
    /// Whether a process has ended whose end is not reported yet. The drain timeout runs then.
    pub(crate) fn draining(&self) -> bool {
        self.execs.draining() || self.container.as_ref().is_some_and(|container| container.process.draining())
    }

    /// Reports the processes that have ended in this round, each once.
    pub(crate) fn settle(&mut self) {
        for (exec, pid, status, kept) in self.execs.ended() {
            let output = kept.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect());
            self.queue(&FromShim::ExecExited { exec, pid, status, output });
        }
        if let Some(exit) = self.container.as_mut().and_then(|container| container.process.ended()) {
            self.unwritten = status::keep(&self.directory, &exit);
            let pid = self.container.as_ref().map_or(0, |container| container.process.pid);
            self.queue(&FromShim::Exited { pid, status: exit });
        }
        let own = self
            .container
            .as_mut()
            .map(|container| container.process.flushed())
            .unwrap_or_default();
        for flushed in Vec::from_iter(own.into_iter().chain(self.execs.flushed())) {
            self.queue(&flushed);
        }
        if let Some(control) = &mut self.control {
            control.flush();
        }
        self.busy |= self.execs.forget();
    }

    pub(crate) fn finished(&mut self) -> bool {
        let reported = self.container.as_ref().map(|container| container.process.is_reported());
        let others = !self.execs.is_empty() || !self.starting.is_empty();
        match (left(self.abandoned, reported, others), &mut self.container) {
            (Left::Nothing, _) => true,
            (Left::CleanUp, Some(container)) => {
                // The client has its exit code by now, so this delays no command.
                let _ = container.cgroup.remove();
                self.unwritten.is_none() && !container.process.session.unread()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_stays_until_the_end_is_reported() {
        assert_eq!(left(false, None, false), Left::All);
        assert_eq!(left(false, Some(false), false), Left::All);
        assert_eq!(left(false, Some(true), true), Left::All);
        assert_eq!(left(false, Some(true), false), Left::CleanUp);
        assert_eq!(left(true, None, true), Left::Nothing);
        assert_eq!(left(true, Some(true), true), Left::Nothing);
    }
}
