//! The user's terminal: its size, and raw mode, which is undone in every case.

use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tsbox_core::peer::protocol::Window;

/// Whether standard input, output and error are terminals.
pub fn are_terminals() -> [bool; 3] {
    [stdin(), stdout(), stderr()].map(rustix::termios::isatty)
}

/// The size of the first of standard input, output and error that is a terminal.
pub fn size() -> Option<Window> {
    [stdin(), stdout(), stderr()].into_iter().find_map(|fd| {
        let size = tcgetwinsize(fd).ok()?;
        Some(Window {
            rows: size.ws_row,
            columns: size.ws_col,
        })
    })
}

/// The terminal's settings before raw mode. Drop restores them.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Enters raw mode as Docker's client does: every key goes to the container, the output is not changed. None: standard input is no
    /// terminal.
    pub fn enter() -> Option<Raw> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &raw);
        Some(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}
