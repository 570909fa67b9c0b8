//! The launcher: resident, one thread, small. It first opens its sockets. Then it starts the daemon, restarts it when it dies, forks shims
//! for it, and is the subreaper of the shims.
//!
//! It makes no decisions about containers: it passes clients' requests to the daemon, and the daemon's requests to clients and shims. It
//! writes to no descriptor of a client, so a client that does not read (`| less`) holds up no other.

/// Writes a line to the log. `eprintln!` would panic, and end the engine, when standard error has no reader any more.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}
use say;

mod clients;
mod daemon;
mod deaths;
mod epoll;
mod force;
mod from_clients;
mod from_daemon;
mod from_shims;
mod helpers;
mod launcher;
mod limits;
mod options;
mod restarts;
mod serve;
mod service;
mod setup;
mod shims;
mod sockets;
mod stop;
mod token;

use options::{Action, Options};
use std::path::PathBuf;

/// Runs `tsbox daemon ARGS` and returns the exit code. Before anything is forked it calls `seal`, which returns in a process whose own
/// binary can't be written to.
pub fn main(args: Vec<String>, home: Option<PathBuf>, seal: impl FnOnce() -> Result<(), String>) -> i32 {
    run(&args, home, seal).unwrap_or_else(|why| refuse(&why, args.iter().any(|word| word == options::BACKGROUND)))
}

fn run(args: &[String], home: Option<PathBuf>, seal: impl FnOnce() -> Result<(), String>) -> Result<i32, String> {
    let options = options::parse(args)?;
    if matches!(options.action, Action::Serve | Action::Enable | Action::Disable) && !rustix::process::geteuid().is_root() {
        return Err("the engine needs root: try `sudo tsbox daemon …`".to_owned());
    }
    match options.action {
        Action::Help => {
            println!("{}", options::USAGE);
            Ok(0)
        }
        Action::Stop => stop::stop(&options).map(|()| 0),
        Action::Enable => service::enable(&options).map(|()| 0),
        Action::Disable => service::disable().map(|()| 0),
        Action::Serve => {
            seal()?;
            limits::raise();
            serve(options, home)
        }
    }
}

fn serve(options: Options, home: Option<PathBuf>) -> Result<i32, String> {
    let home = home.ok_or("the installation is not whole: no kernel/ beside the binary; install tsbox again")?;
    Ok(launcher::Launcher::new(options, home)?.serve())
}

/// Writes one line to the output that its reader sees: a client that started this process in the background reads standard output, people
/// see standard error.
fn refuse(why: &str, background: bool) -> i32 {
    if background {
        println!("tsbox: {why}");
    } else {
        eprintln!("tsbox: {why}");
    }
    125
}
