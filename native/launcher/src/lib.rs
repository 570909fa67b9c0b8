//! The launcher: resident, one thread, small. It listens first, starts the daemon and starts it again when it dies, forks shims for it, and is their subreaper.
//!
//! It decides nothing: clients' words go to the daemon, the daemon's orders go to clients and shims. It writes to no descriptor of a client, so that a
//! reader who does not read (`| less`) holds up nobody.

mod clients;
mod daemon;
mod epoll;
mod helpers;
mod options;
mod serve;
mod shims;
mod sockets;

/// `tsbox daemon ARGS`; answers the exit code.
pub fn main(args: Vec<String>, home: Option<std::path::PathBuf>) -> i32 {
    let options = match options::parse(&args) {
        Ok(options) => options,
        Err(why) => return refuse(&why),
    };
    if options.stop {
        return match sockets::stop(&options) {
            Ok(()) => 0,
            Err(why) => refuse(&why),
        };
    }
    // SAFETY: no arguments, no failure.
    if unsafe { libc::geteuid() } != 0 {
        return refuse("the engine needs root: try `sudo tsbox daemon …`");
    }
    let Some(home) = home else {
        return refuse("the installation is not whole: no kernel/ beside the binary; install tsbox again");
    };
    match serve::Launcher::new(options, home) {
        Ok(launcher) => launcher.serve(),
        Err(why) => refuse(&why),
    }
}

/// One line where whoever started us looks: standard output for a client that started us in the background, standard error for people.
fn refuse(why: &str) -> i32 {
    println!("tsbox: {why}");
    eprintln!("tsbox: {why}");
    125
}
