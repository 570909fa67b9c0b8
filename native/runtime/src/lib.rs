//! An OCI runtime: a library for the shim, and the standard command line for other callers.
//!
//! ```text
//! pub fn launch(launch: &Launch) -> Result<Started>        // a container's first process, once it has executed its command
//!   Launch  { id: &str, spec: &Spec, root: Root, stdio: Stdio, seccomp: Option<&[u8]> }
//!   Root    Path(&Path) | Mounts(&[tsbox_core::mount::Mount])
//!   Stdio   Fds([RawFd; 3]) | Terminal { rows: u16, columns: u16 }
//!   Started { pid: i32, pidfd: OwnedFd, console: Option<OwnedFd>, cgroup: Cgroup, warnings: Vec<String>, timings: Vec<(String, f64)> }
//! pub fn begin(launch: &Launch) -> Result<Launching>       // like launch, without waiting: fd(), advance() -> Option<Launched>, abandon()
//! pub fn command(commands: &Commands, cgroup: &str) -> Result<Launching>
//! pub fn join_command(commands: &Commands) -> Result<Pending>
//!                                                          // the same by the commands of another runtime
//! pub fn exec(exec: &Exec) -> Result<Pending>              // a further process in a running container
//!   Pending fd(), advance() -> Option<Launched>, kill(), wait()
//!   Exec    { pid: i32, pidfd: BorrowedFd, cgroup: &Cgroup, process: &Process, stdio: Stdio, seccomp: Option<&[u8]> }
//!   Launched    { pid, pidfd, console, warnings, timings }      // the same as in Started
//! pub fn replace_if_ended(failure: Failure, pid: i32, pidfd: BorrowedFd) -> Failure
//!                                                          // the failure, or the end of the process that was to be joined
//! Cgroup  at(path), kill_all(signal), freeze(), thaw(), is_frozen(), pids(), oom_killed(), stats(), apply(resources, warnings), remove()
//! pub fn main(args: Vec<String>) -> i32                    // tsbox-runtime create | start | run | state | kill | delete | exec …
//! pub fn sealed::ensure() -> Result<()>                    // first call in main: continues in a sealed copy of the binary
//! ```
//! The caller is single-threaded: processes are forked without exec and continue with this program's heap. A new process is the caller's
//! child, which the caller reaps. A failed start leaves nothing behind: no process, no cgroup, no mount. The host's mount table never
//! changes.
//!
//! There is one file per stage: [`mod@launch`] and then `pending` in the caller, `join` if a user namespace is joined first, `init` in the
//! process that becomes the container's first, `own_files` for the files that Docker puts into every root, `process` for the last steps
//! that it shares with `exec` (`command`, `directory`, `labels` and `limits` are parts of them), `reaper` for the engine's own first
//! process (`--init`). `commands` starts what another runtime's command line makes. `channel` has a diagram of the conversation.

mod channel;
mod cli;
mod clock;
mod command;
mod commands;
mod directory;
pub mod enter;
mod exec;
mod hooks;
mod init;
mod join;
mod labels;
mod launch;
mod limits;
mod own_files;
mod pending;
mod process;
pub mod reaper;
mod rootfs;
pub mod sealed;
mod stdio;

pub use cli::main;
pub use commands::{Commands, LaunchCommand, Owners, Step, command, join_command};
pub use exec::{Exec, exec, exec_and_wait, replace_if_ended};
pub use launch::{Launch, Launching, Started, begin, launch};
pub use pending::{Launched, Pending};
pub use rootfs::Root;
pub use stdio::Stdio;
pub use tsbox_core::container::cgroup::{Cgroup, Stats};
pub use tsbox_core::container::spec::{Process, Spec};
