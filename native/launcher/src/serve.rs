//! The launcher's loop, which connects clients, daemon and shims. One thread, one epoll instance, all descriptors non-blocking.

use crate::launcher::Launcher;
use crate::token::{self, Kind};
use std::time::Instant;
use tsbox_core::peer::protocol::daemon;

impl Launcher {
    /// Returns the process's exit code.
    pub fn serve(mut self) -> i32 {
        self.greet();
        let mut tokens = Vec::new();
        loop {
            let wait = self.restart.map(|at| at.saturating_duration_since(Instant::now()));
            if self.epoll.wait(&mut tokens, wait).is_err() {
                return 1;
            }
            self.listen_again();
            if self.restart.is_some_and(|at| at <= Instant::now())
                && let Some(code) = self.start_daemon()
            {
                return code;
            }
            for ready in &tokens {
                let (kind, number) = token::parts(*ready);
                match kind {
                    Kind::Signals => {
                        if let Some(code) = self.signalled() {
                            return code;
                        }
                    }
                    Kind::Listener => self.accept(),
                    Kind::Daemon => self.receive_from_daemon(),
                    Kind::Client => self.receive_from_client(number),
                    Kind::Shim => self.receive_from_shim(number),
                    Kind::HelperOutput => self.helpers.ready(number, 0, &self.epoll),
                    Kind::HelperErrors => self.helpers.ready(number, 1, &self.epoll),
                    Kind::Orphan => self.orphan_ended(number),
                }
            }
            for (channel, answer) in self.helpers.ended() {
                self.daemon.writer.push(daemon::RAN, channel, &answer, Vec::new());
            }
            self.shims.write_again();
            self.flush_daemon();
        }
    }
}
