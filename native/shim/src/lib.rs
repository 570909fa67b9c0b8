//! The shim: one small process per container, forked from the launcher without exec. It holds what must outlive launcher and daemon: the
//! container's network namespace, its stdio, its log, and the right to reap its first process.
//!
//! ```text
//! spawned ──▶ state ──▶ (start) ──▶ started ──▶ … stdio, signals … ──▶ exited ──▶ flushed ──▶ cgroups removed, gone
//!                └────▶ (abandon) ──▶ gone
//! while it runs:   (exec) ──▶ exec-started ──▶ … ──▶ exec-exited ──▶ flushed
//! ```
//! Its directory, on tmpfs, holds `shim.sock` (control and attachments) and, at the end, `exit`.

mod adopted;
mod birth;
mod channel;
mod children;
mod client;
mod end;
mod exec;
mod filter;
mod formats;
mod guests;
pub mod heap;
mod input;
mod launch;
mod log;
pub mod memory;
mod messages;
mod namespaces;
mod pipes;
mod process;
mod serve;
mod session;
mod shim;
mod sink;
mod starting;
mod starts;
pub mod status;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use tsbox_core::id_maps::IdMaps;

/// What the launcher gives a new shim.
pub struct Config {
    pub id: String,
    /// The container's directory, on tmpfs.
    pub directory: PathBuf,
    /// The shim's end of its connection to the launcher.
    pub control: OwnedFd,
    /// Create a network namespace and hold it.
    pub network: bool,
    /// Create a user namespace first, which owns the network namespace.
    pub id_maps: Option<IdMaps>,
}

/// Runs a shim in a process that has just been forked. Of the launcher's descriptors only `control` may be open. Ends the process with
/// `_exit`.
pub fn run(config: Config) -> ! {
    let code = match shim::Shim::new(config) {
        Ok(shim) => shim.serve(),
        Err(_) => 1,
    };
    // SAFETY: no destructor of the launcher's may run in its fork.
    unsafe { libc::_exit(code) }
}
