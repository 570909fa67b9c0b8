//! The client: a `tsbox` on this host that hands its words and its three descriptors to the launcher, and ends with the code that comes back.
//!
//! It decides nothing. Where no engine runs, it starts one (`start.rs`); where the engine is elsewhere, or the command needs the user's own files,
//! the portable CLI takes over (`portable.rs`).

mod config;
mod connection;
mod endpoint;
mod portable;
mod start;
mod terminal;

pub use endpoint::{DEFAULT_STATE, Settings};
pub use portable::home;

/// Runs `tsbox ARGS`; answers the exit code.
pub fn main(args: Vec<String>) -> i32 {
    let endpoint = match endpoint::choose(&args) {
        Ok(endpoint) => endpoint,
        Err(why) => return refuse(&why),
    };
    let socket = match endpoint {
        endpoint::Endpoint::Remote => return portable::exec(&args),
        endpoint::Endpoint::Launcher { socket, ours } => match connection::connect(&socket) {
            Ok(stream) => Ok(stream),
            Err(error) if ours => start::engine(&socket, &error),
            // Somebody else's socket without a launcher beside it: Docker's own daemon, or an engine reached through a bind mount.
            Err(_) => return portable::exec(&args),
        },
    };
    match socket {
        Ok(stream) => match connection::serve(stream, &args) {
            connection::Outcome::Exit(code) => code,
            connection::Outcome::Local => portable::exec(&args),
        },
        Err(why) => refuse(&why),
    }
}

fn refuse(why: &str) -> i32 {
    eprintln!("tsbox: {why}");
    125
}
