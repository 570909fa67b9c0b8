//! The limit of open files. The launcher has two for each container and more for each client, so it takes all that the host allows. What it
//! starts gets the limit that the launcher was started with.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// The soft limit becomes the hard one.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = GIVEN.set(limit);
    let _ = setrlimit(Resource::Nofile, raised);
}

/// In a fork: the limit is again what it was before.
pub fn restore() {
    if let Some(limit) = GIVEN.get() {
        let _ = setrlimit(Resource::Nofile, limit.clone());
    }
}
