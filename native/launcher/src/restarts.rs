//! The decision whether and when a daemon that died is started again.

use std::time::Duration;

/// After so many deaths in a row before a daemon was ready, a further start is unlikely to help.
const STARTS: u32 = 3;
/// A daemon that died before it was ready and within this time failed to start.
const FAILED_START: Duration = Duration::from_secs(5);
/// A daemon that lived this long, or has served a command, was healthy. The next one is started at once.
const HEALTHY: Duration = Duration::from_secs(10);
/// The back-off before a further start: it doubles from the first value up to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];

/// Counts the daemons that died in a row.
#[derive(Default)]
pub struct Restarts {
    /// Daemons that died before they were ready.
    failed: u32,
    /// Daemons that lived for a short time and served no command.
    short_lived: u32,
}

/// The life of a daemon that has died.
#[derive(Clone, Copy)]
pub struct Life {
    pub ready: bool,
    /// The daemon has completed a client's command.
    pub served: bool,
    pub age: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Start { pause: Duration },
    GiveUp,
}

impl Restarts {
    /// A daemon is ready.
    pub fn is_up(&mut self) {
        self.failed = 0;
    }

    /// Decides what follows this death.
    pub fn after(&mut self, life: Life) -> Next {
        self.failed = if life.ready { 0 } else { self.failed + 1 };
        if self.failed >= STARTS && !life.ready && life.age < FAILED_START {
            return Next::GiveUp;
        }
        let healthy = life.served || life.age >= HEALTHY;
        self.short_lived = if healthy { 0 } else { self.short_lived + 1 };
        Next::Start {
            pause: match self.short_lived {
                0 | 1 => Duration::ZERO,
                many => PAUSES[1].min(PAUSES[0] * (1 << (many - 2).min(10))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(ready: bool, served: bool, seconds: u64) -> Life {
        Life {
            ready,
            served,
            age: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_daemon_that_never_starts_is_given_up() {
        let mut restarts = Restarts::default();
        for _ in 0..2 {
            assert!(matches!(restarts.after(life(false, false, 1)), Next::Start { .. }));
        }
        assert_eq!(restarts.after(life(false, false, 1)), Next::GiveUp);
    }

    #[test]
    fn one_that_was_ready_or_took_long_is_started_again() {
        let mut restarts = Restarts::default();
        for _ in 0..2 {
            restarts.after(life(false, false, 1));
        }
        // The start was slow and did not fail: the host is under load.
        assert!(matches!(restarts.after(life(false, false, 6)), Next::Start { .. }));
        restarts.is_up();
        assert!(matches!(restarts.after(life(false, false, 1)), Next::Start { .. }));
    }

    #[test]
    fn the_pause_doubles_until_a_daemon_is_healthy() {
        let mut restarts = Restarts::default();
        let mut pauses = Vec::new();
        for _ in 0..11 {
            let Next::Start { pause } = restarts.after(life(true, false, 1)) else {
                panic!("given up")
            };
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
        for healthy in [life(true, true, 1), life(true, false, 10)] {
            assert_eq!(restarts.after(healthy), Next::Start { pause: Duration::ZERO });
            assert_eq!(restarts.after(life(true, false, 1)), Next::Start { pause: Duration::ZERO });
        }
    }
}
