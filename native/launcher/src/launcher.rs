//! The state of the launcher. The other files add its behaviour: `from_clients`, `from_daemon`, `from_shims`, `deaths`; `serve` is the loop
//! that calls them.

use crate::clients::Clients;
use crate::daemon::Daemon;
use crate::epoll::Epoll;
use crate::helpers::Helpers;
use crate::options::Options;
use crate::restarts::Restarts;
use crate::setup;
use crate::shims::Shims;
use crate::sockets::{self, Sockets};
use crate::token::{Kind, token};
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Instant;
use tsbox_core::sys::signals::Signals;

pub struct Launcher {
    pub(crate) options: Options,
    pub(crate) home: PathBuf,
    pub(crate) epoll: Epoll,
    pub(crate) sockets: Sockets,
    pub(crate) signals: Signals,
    pub(crate) daemon: Daemon,
    pub(crate) clients: Clients,
    pub(crate) shims: Shims,
    pub(crate) helpers: Helpers,
    pub(crate) restarts: Restarts,
    /// The reason that a daemon reported for its failed start.
    pub(crate) fatal: Option<String>,
    /// When the next daemon is started. None: a daemon runs.
    pub(crate) restart: Option<Instant>,
    pub(crate) ending: bool,
    /// New clients are not accepted at the moment.
    pub(crate) accept_paused: bool,
}

impl Launcher {
    pub fn new(options: Options, home: PathBuf) -> Result<Launcher, String> {
        let failed = |error: io::Error| format!("can't start the engine: {error}");
        let sockets = sockets::open(&options)?;
        if options.background {
            setup::leave_cgroups();
        }
        setup::protect();
        setup::become_subreaper();
        let signals = setup::signals().map_err(|failure| format!("can't start the engine: {failure}"))?;
        let epoll = Epoll::new().map_err(failed)?;
        let daemon = Daemon::start(&options, &home, &sockets.http)
            .map_err(|error| format!("can't start Node 24 ({error}); run `npm ci` in {}", home.display()))?;
        epoll.add(signals.as_raw_fd(), token(Kind::Signals, 0)).map_err(failed)?;
        epoll.add(sockets.clients.as_raw_fd(), token(Kind::Listener, 0)).map_err(failed)?;
        epoll.add(daemon.fd(), token(Kind::Daemon, 0)).map_err(failed)?;
        if options.background {
            // The client that started this process waits for the end of its output.
            setup::silence();
        }
        Ok(Launcher {
            options,
            home,
            epoll,
            sockets,
            signals,
            daemon,
            clients: Clients::default(),
            shims: Shims::default(),
            helpers: Helpers::default(),
            restarts: Restarts::default(),
            fatal: None,
            restart: None,
            ending: false,
            accept_paused: false,
        })
    }

    /// Sends the daemon as many bytes as its socket takes now.
    pub(crate) fn flush_daemon(&mut self) {
        let fd = self.daemon.fd();
        let empty = self.daemon.writer.flush(&self.daemon.socket).unwrap_or(true);
        self.epoll.watch(fd, token(Kind::Daemon, 0), !empty);
    }
}
