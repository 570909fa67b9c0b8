//! The client: a `tsbox` process on this host that passes its arguments and its three descriptors to the launcher, and ends with the exit
//! code that it receives.
//!
//! It makes no decisions about containers. If no engine runs, it starts one (`start.rs`). If the engine is on another host, or the command
//! needs the user's own files, the portable CLI takes over (`portable.rs`).

mod config;
mod connection;
mod endpoint;
mod logins;
mod portable;
mod start;
mod terminal;

use endpoint::Endpoint;
use tsbox_core::peer::address;

pub use endpoint::{DEFAULT_STATE, Settings};
pub use portable::home;

/// Runs `tsbox ARGS` and returns the exit code.
pub fn main(args: Vec<String>) -> i32 {
    // Help works whatever the state of the engine.
    if endpoint::wants_no_engine(&args) {
        return portable::exec(&args);
    }
    let endpoint = match endpoint::choose(&args) {
        Ok(endpoint) => endpoint,
        Err(why) => return refuse(&why),
    };
    let (stream, http) = match endpoint {
        Endpoint::Remote => return portable::exec(&args),
        Endpoint::Own { state, http } => match address::connect(&state.join(address::LAUNCHER)) {
            Ok(stream) => (stream, http),
            Err(error) => {
                // A wrong command line does not start an engine.
                let code = portable::check(&args);
                if code != 0 {
                    return code;
                }
                match start::engine(&state, http.as_deref(), &error) {
                    Ok(stream) => (stream, http),
                    Err(why) => return refuse(&why),
                }
            }
        },
        Endpoint::Local { http } => match endpoint::launcher(&http) {
            Some(stream) => (stream, Some(http)),
            // Docker's daemon, or an engine behind a bind mount.
            None => return portable::exec(&args),
        },
    };
    match connection::serve(stream, &args, http.as_deref()) {
        connection::Outcome::Exit(code) => code,
        connection::Outcome::Local => portable::exec(&args),
    }
}

fn refuse(why: &str) -> i32 {
    eprintln!("tsbox: {why}");
    125
}
