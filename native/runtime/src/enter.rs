//! The program that another runtime starts in place of the container's command, and that becomes the command: it takes the terminal, and
//! looks the command up as the engine's own runtime does. The conductor (`commands`) gets the terminal and the failures, and learns when
//! the command is about to run.
//!
//! The command's environment comes in variables `TSBOX_ENTER_0`, `TSBOX_ENTER_1` …, each in hexadecimal, since a runtime's configuration
//! may have no word for a line break; `TSBOX_ENTER_UMASK` is its umask in octal, and `TSBOX_ENTER_TERMINAL` asks for a terminal. Nothing
//! else of this program's environment goes on.

use crate::channel::{Channel, Message};
use crate::command::Command;
use crate::commands::ENTRANCE;
use crate::process::new_session;
use rustix::fs::Mode;
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use tsbox_core::container::spec::{Process, User};
use tsbox_core::container::terminal::{self, Terminal};
use tsbox_core::failure::{Code, Result};
use tsbox_core::sys::signals;

/// The program name of this role.
pub const NAME: &str = "tsbox-enter";

/// `words`: the command and its arguments. Returns the exit code if the command can't be executed: a shell's.
pub fn main(words: Vec<OsString>) -> i32 {
    // What another runtime has left open is none of the command's business.
    // SAFETY: plain numbers. Nothing of this program uses these descriptors but the conversation, which ends with the program.
    let channel = unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        Channel::of(OwnedFd::from_raw_fd(ENTRANCE))
    };
    let failure = match enter(words, &channel) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let code = if failure.code == Code::CommandNotFound { 127 } else { 126 };
    // The exit code is the shorter answer.
    let _ = channel.send(&Message::Failed(failure));
    code
}

fn enter(words: Vec<OsString>, channel: &Channel) -> Result<Infallible> {
    let text = |word: OsString| word.to_string_lossy().into_owned();
    let variable = |name: &str| std::env::var(format!("TSBOX_ENTER_{name}")).ok();
    let process = Process {
        args: words.into_iter().map(text).collect(),
        env: (0..)
            .map_while(|at| variable(&at.to_string()))
            .map(|coded| decoded(&coded))
            .collect(),
        user: User {
            uid: rustix::process::getuid().as_raw(),
            ..User::default()
        },
        ..Process::default()
    };
    // By then the conductor holds this process, which may end at once.
    channel.await_go_on()?;
    let command = Command::of(&process)?;
    if variable("TERMINAL").is_some() {
        take_terminal(channel).map_err(|failure| failure.at("terminal"))?;
    }
    if let Some(mask) = variable("UMASK").and_then(|mask| u32::from_str_radix(&mask, 8).ok()) {
        rustix::process::umask(Mode::from_raw_mode(mask));
    }
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: plain numbers; what can't be changed stays.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    signals::unblock_all();
    channel.send(&Message::Executing {
        warnings: Vec::new(),
        timings: Vec::new(),
    })?;
    Err(command.execute(None))
}

/// Opens a terminal of the container's own, gives its other end to the conductor, and makes it the standard streams.
fn take_terminal(channel: &Channel) -> Result<()> {
    let terminal = Terminal::open_own()?;
    channel.send_with(&Message::Console, terminal.master.as_fd())?;
    // The conductor sets its size.
    channel.await_go_on()?;
    new_session()?;
    terminal::redirect([terminal.slave.as_raw_fd(); 3])?;
    terminal::control()
}

/// Text from hexadecimal; what is none becomes nothing.
fn decoded(coded: &str) -> String {
    let bytes: Vec<u8> = (0..coded.len() / 2)
        .filter_map(|at| u8::from_str_radix(coded.get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_may_hold_a_line_break() {
        assert_eq!(decoded("613d310a32"), "a=1\n2");
        assert_eq!(decoded("zz61"), "a");
        assert_eq!(decoded(""), "");
    }
}
