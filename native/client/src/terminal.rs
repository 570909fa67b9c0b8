//! The user's terminal: its size, and raw mode that is undone whatever happens.

use tsbox_core::peer::protocol::Window;

pub fn is_terminal(fd: i32) -> bool {
    // SAFETY: isatty takes any number.
    unsafe { libc::isatty(fd) == 1 }
}

pub fn size() -> Option<Window> {
    (0..3).find_map(|fd| {
        // SAFETY: winsize is plain data that the kernel fills.
        let mut size: libc::winsize = unsafe { std::mem::zeroed() };
        (unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &mut size) } == 0).then_some(Window {
            rows: size.ws_row,
            columns: size.ws_col,
        })
    })
}

/// The terminal's settings before raw mode; put back when dropped.
pub struct Raw {
    before: libc::termios,
}

impl Raw {
    /// Raw as Docker's client sets it: every key goes to the container, the output stays as it comes.
    pub fn enter() -> Option<Raw> {
        // SAFETY: termios is plain data that tcgetattr fills.
        unsafe {
            let mut before: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(0, &mut before) != 0 {
                return None;
            }
            let mut raw = before;
            libc::cfmakeraw(&mut raw);
            libc::tcsetattr(0, libc::TCSADRAIN, &raw);
            Some(Raw { before })
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: settings that tcgetattr gave.
        unsafe { libc::tcsetattr(0, libc::TCSADRAIN, &self.before) };
    }
}
