//! The user's logins at registries, looked up when the engine asks for them before a pull. They are stored in the user's `config.json` and
//! in the user's credential helpers, so a process of the user reads them: plugins/cli/src/read-logins.ts, which shares its code with the
//! portable CLI.

use crate::{config, portable};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use tsbox_core::sys::process::kill;
use tsbox_core::sys::signals;

/// The maximum size of all logins in bytes. A usual token has a few kilobytes.
const LONGEST: usize = 1 << 20;

/// The credential helpers that docker uses if the configuration names no helper and they are installed.
const DEFAULT_HELPERS: [&str; 2] = ["docker-credential-pass", "docker-credential-secretservice"];

pub const NONE: &[u8] = b"{}";

/// A lookup in progress. Dropping it ends its process.
pub struct Lookup {
    child: Child,
    output: ChildStdout,
    found: Vec<u8>,
}

impl Lookup {
    /// `registries`: a JSON array. None: the user has no logins.
    pub fn begin(args: &[String], registries: &[u8]) -> Option<Lookup> {
        let directory = config::directory(args)?;
        if !directory.join(config::FILE).exists() && !has_default_helper() {
            return None;
        }
        match start(&directory, registries) {
            Ok(lookup) => Some(lookup),
            Err(error) => {
                eprintln!("WARNING: can't look up your logins: {error}; going on without them");
                None
            }
        }
    }

    pub fn fd(&self) -> RawFd {
        self.output.as_raw_fd()
    }

    /// Called when the descriptor is ready. Returns the logins once they are complete; None: more data will come.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let mut room = [0; 16 << 10];
        match self.output.read(&mut room) {
            Ok(0) => Some(std::mem::take(&mut self.found)),
            Ok(count) if self.found.len() + count > LONGEST => Some(NONE.to_vec()),
            Ok(count) => {
                self.found.extend_from_slice(&room[..count]);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(_) => Some(NONE.to_vec()),
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        // SIGTERM lets the process end the helper that it waits for; SIGKILL would not. The process may have ended by itself, but it is not
        // reaped, so its pid is valid.
        let _ = kill(self.child.id() as i32, libc::SIGTERM);
    }
}

fn start(directory: &Path, registries: &[u8]) -> io::Result<Lookup> {
    let home = portable::home().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the installation is not whole"))?;
    let mut command = Command::new(portable::node(&home));
    command
        .args(portable::source_flags(&home))
        .arg("--")
        .arg(portable::program(&home, "read-logins"))
        .arg(directory)
        .arg(String::from_utf8_lossy(registries).as_ref())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // SAFETY: async-signal-safe calls.
    unsafe {
        command.pre_exec(|| {
            // This process reads its signals from a descriptor. The child must end by them.
            signals::unblock_all();
            let _ = set_parent_process_death_signal(Some(Signal::TERM));
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or_else(|| io::Error::other("no pipe to it"))?;
    Ok(Lookup {
        child,
        output,
        found: Vec::new(),
    })
}

fn has_default_helper() -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| DEFAULT_HELPERS.iter().any(|name| directory.join(name).exists())))
}
