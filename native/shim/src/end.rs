//! The end: of processes, which are told of once, and of the shim itself.

use crate::shim::Shim;
use crate::status;
use tsbox_core::peer::protocol::FromShim;

/// What is left for a shim to do.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// To serve on.
    All,
    /// To remove the cgroups, and then whatever has no room yet or is not read.
    CleanUp,
    /// Nothing: its start has failed, or nobody wants it.
    Nothing,
}

/// `told`: whether everybody has heard of the container's end; None: there is no container yet. `others`: execs, or starts on their way.
fn left(abandoned: bool, reported: Option<bool>, others: bool) -> Left {
    match reported {
        _ if abandoned => Left::Nothing,
        Some(true) if !others => Left::CleanUp,
        _ => Left::All,
    }
}

impl Shim {
    /// A process has ended, and its end is not told yet: time counts.
    pub(crate) fn draining(&self) -> bool {
        self.execs.draining() || self.container.as_ref().is_some_and(|container| container.process.draining())
    }

    /// Tells of the processes that have ended in this round, each once.
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
                // The client has its exit code by now, so nobody waits for this.
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
    fn a_shim_stays_until_everybody_has_heard() {
        assert_eq!(left(false, None, false), Left::All);
        assert_eq!(left(false, Some(false), false), Left::All);
        assert_eq!(left(false, Some(true), true), Left::All);
        assert_eq!(left(false, Some(true), false), Left::CleanUp);
        assert_eq!(left(true, None, true), Left::Nothing);
        assert_eq!(left(true, Some(true), true), Left::Nothing);
    }
}
