//! Sets up a shim in a fork of the launcher: its process attributes, its namespaces, its socket, its signals.

use crate::Config;
use crate::namespaces::Namespaces;
use rustix::fs::Mode;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use tsbox_core::container::identity;
use tsbox_core::failure::{Failure, Result};
use tsbox_core::sys;
use tsbox_core::sys::signals::{self, Signals};

/// What a shim has before its container starts.
pub struct Parts {
    pub namespaces: Namespaces,
    pub listener: UnixListener,
    pub signals: Signals,
}

impl Parts {
    pub fn make(config: &Config) -> Result<Parts> {
        become_shim()?;
        erase_arguments();
        let namespaces = Namespaces::make(config.network, config.id_maps.as_ref())?;
        Ok(Parts {
            namespaces,
            listener: listen(&config.directory)?,
            signals: Signals::only(&[libc::SIGCHLD])?,
        })
    }
}

/// Sets up the process attributes that a shim needs and that it does not inherit from the launcher.
fn become_shim() -> Result<()> {
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir(c"/");
    rustix::process::umask(Mode::from_raw_mode(0o022));
    signals::ignore(libc::SIGPIPE);
    identity::set_title(c"tsbox:[shim]");
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, "prctl(PR_SET_CHILD_SUBREAPER)").map(drop)
}

/// Overwrites the copy of the launcher's environment and arguments in this fork. Each process that enters a container is a fork of the
/// shim, and a container with CAP_SYS_PTRACE could read them in `/proc/PID/environ` and `cmdline`. The program's name stays. The shim
/// itself reads neither.
fn erase_arguments() {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return;
    };
    // proc_pid_stat(5): arg_start to env_end are fields 48 to 51; the first field after the name is the third.
    let fields: Vec<usize> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let Some(&[arguments, arguments_end, environment, environment_end]) = fields.get(45..49) else {
        return;
    };
    // SAFETY: the kernel's own bounds of the words at the top of this process's stack, which has one thread; nothing names the variables
    // any more when they go.
    unsafe {
        environ = std::ptr::null_mut();
        if arguments != 0 && arguments < arguments_end {
            let name = libc::strnlen(arguments as *const libc::c_char, arguments_end - arguments);
            let rest = arguments + name;
            std::ptr::write_bytes(rest as *mut u8, 0, arguments_end - rest);
        }
        if environment != 0 && environment < environment_end {
            std::ptr::write_bytes(environment as *mut u8, 0, environment_end - environment);
        }
    }
}

/// Listens on `shim.sock` in the container's directory. A socket's path has at most 107 bytes, so the socket is bound by its path under
/// `/proc/self/fd`.
fn listen(directory: &std::path::Path) -> Result<UnixListener> {
    let failed = |error: io::Error| Failure::io(&error, "listen", directory.to_str());
    // Files that an earlier start of the same container left.
    for old in ["shim.sock", "exit"] {
        let _ = std::fs::remove_file(directory.join(old));
    }
    let folder = std::fs::File::open(directory).map_err(failed)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/shim.sock", folder.as_raw_fd())).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
