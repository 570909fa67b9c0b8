//! Durations of the stages of a start.

use std::time::Instant;

/// Measures stages, one after another.
pub(crate) struct Clock {
    since: Instant,
    pub laps: Vec<(String, f64)>,
}

impl Clock {
    pub fn start() -> Clock {
        Clock {
            since: Instant::now(),
            laps: Vec::new(),
        }
    }

    pub fn lap(&mut self, stage: &str) {
        self.laps.push((stage.to_owned(), self.since.elapsed().as_secs_f64() * 1000.0));
        self.reset();
    }

    pub fn reset(&mut self) {
        self.since = Instant::now();
    }
}
