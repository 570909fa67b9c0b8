//! The limit of open files. The launcher needs two files per container and more per client, so it raises its limit as far as the host
//! allows. The processes that it starts get the limit that the launcher was started with.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = GIVEN.set(limit);
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Restores the original limit, in a fork.
pub fn restore() {
    if let Some(limit) = GIVEN.get() {
        let _ = setrlimit(Resource::Nofile, *limit);
    }
}
