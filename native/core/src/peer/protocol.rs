//! The meaning of the frames of [`crate::peer::wire`] between client, launcher, daemon and shim. plugins/launcher/src/protocol.ts is the
//! same table in TypeScript.
//!
//! ```text
//! client ──Hello(argv, env, cwd; descriptors 0 1 2)──▶ launcher ──ClientOpened──▶ daemon
//! client ◀──Output, Raw, Exit, Local, Logins──────────  launcher ◀─ClientWrite …── daemon
//!                                    shim ◀──ToShim (start, signal …)── launcher ◀── daemon
//!                                    shim ───FromShim (ready, exited …)▶ launcher ──▶ daemon
//! ```
//! A change here is a change of [`VERSION`]: client, launcher and daemon must have the same version. Old shims meet new daemons: their
//! state ([`FromShim::State`]) contains the version that they support ([`SHIM`]), and a daemon sends a shim no message that it does not
//! know.

use crate::id_maps::IdMaps;
use crate::peer::address::Address;
use serde::{Deserialize, Serialize};

pub const VERSION: u32 = 9;

/// The version of a shim's messages. 2: [`shim::EXEC`] and the messages about execs, custom detach keys.
pub const SHIM: u32 = 2;

/// Client and launcher, over `launcher.sock`. The channel is not used.
pub mod client {
    // Client → launcher.
    /// The first frame: [`super::ClientHello`] as JSON, with the descriptors 0, 1 and 2 of the client.
    pub const HELLO: u8 = 1;
    /// The client got a signal. Payload: its number as u8.
    pub const SIGNAL: u8 = 2;
    /// The size of the client's terminal has changed. Payload: rows u16, columns u16.
    pub const RESIZED: u8 = 3;
    /// The answer to [`LOGINS`]. Payload: a JSON object with the credentials of each registry that the user is logged in to.
    pub const LOGINS_FOUND: u8 = 4;

    // Launcher → client.
    /// Bytes for the client's standard output.
    pub const STDOUT: u8 = 10;
    /// Bytes for the client's standard error.
    pub const STDERR: u8 = 11;
    /// The command has ended. Payload: the exit code as u8.
    pub const EXIT: u8 = 12;
    /// The client puts its terminal into raw mode (payload 1) or back (payload 0).
    pub const RAW: u8 = 13;
    /// The client runs the command itself, with the portable CLI.
    pub const LOCAL: u8 = 14;
    /// The client looks up its user's logins in the user's files and helpers. Payload: a JSON array of registries.
    pub const LOGINS: u8 = 15;
}

/// Launcher and daemon, over the socket that the daemon inherits. The launcher numbers the channels of clients; the daemon numbers those of
/// shims, helpers and signals.
pub mod daemon {
    // Launcher → daemon.
    /// The first frame: [`super::DaemonHello`] as JSON.
    pub const HELLO: u8 = 1;
    /// A client has a command. Payload: [`super::ClientOpened`] as JSON.
    pub const CLIENT_OPENED: u8 = 2;
    /// A client got a signal. Payload: its number as u8.
    pub const CLIENT_SIGNAL: u8 = 3;
    /// The size of a client's terminal has changed. Payload: rows u16, columns u16.
    pub const CLIENT_RESIZED: u8 = 4;
    /// A client has disconnected. Payload u8: 1 if it had its exit code.
    pub const CLIENT_GONE: u8 = 5;
    /// A client has taken all that was written to it.
    pub const CLIENT_DRAINED: u8 = 6;
    /// A message of a shim, unchanged: [`super::FromShim`] as JSON.
    pub const FROM_SHIM: u8 = 7;
    /// A shim has ended. Payload: [`super::ShimGone`] as JSON.
    pub const SHIM_GONE: u8 = 8;
    /// A helper has ended. Payload: [`super::Ran`] as JSON, a zero byte, its output, its error output.
    pub const RAN: u8 = 9;
    /// The result of a `SIGNAL` on this channel. Payload: [`super::Signalled`] as JSON.
    pub const SIGNALLED: u8 = 10;
    /// The logins that a client has found. Payload: the same as of `LOGINS_FOUND`.
    pub const CLIENT_LOGINS_FOUND: u8 = 11;

    // Daemon → launcher.
    /// The daemon is ready for clients. Sent once.
    pub const READY: u8 = 20;
    /// The daemon can't start. Payload: the reason, as text that the waiting clients print.
    pub const FATAL: u8 = 21;
    /// Bytes for a client. Payload: the descriptor as u8 (1 or 2), the bytes.
    pub const CLIENT_WRITE: u8 = 22;
    /// A client's command has ended. Payload: the exit code as u8.
    pub const CLIENT_EXIT: u8 = 23;
    /// A client runs its command itself.
    pub const CLIENT_LOCAL: u8 = 24;
    /// A client's terminal goes into raw mode (payload 1) or back (payload 0).
    pub const CLIENT_RAW: u8 = 25;
    /// A word that the launcher keeps for the next daemon. Payload: u8 (1: the client's signals are proxied to a container, and don't end
    /// it), the word.
    pub const CLIENT_BIND: u8 = 26;
    /// Fork a shim. Payload: [`super::ShimSpawn`] as JSON.
    pub const SHIM_SPAWN: u8 = 27;
    /// Connect to a shim that an earlier launcher forked. Payload: [`super::ShimSpawn`] as JSON, without network.
    pub const SHIM_CONNECT: u8 = 28;
    /// A message to a shim. Payload: client u32 (whose descriptors are sent along; 0: no client), which of them u8 (bits 1, 2, 4 for 0, 1,
    /// 2), kind u8 (of [`super::shim`]), the message.
    pub const TO_SHIM: u8 = 29;
    /// Run a helper. Payload: [`super::Run`] as JSON.
    pub const RUN: u8 = 30;
    /// Kill the helper of this channel.
    pub const RUN_CANCEL: u8 = 31;
    /// The engine ends, launcher and daemon. Shims go on.
    pub const SHUTDOWN: u8 = 32;
    /// The daemon has begun the client's command: no other daemon may begin it again.
    pub const CLIENT_TAKEN: u8 = 33;
    /// Releases the start that a shim holds (payload 1), or cancels it (payload 0).
    pub const SHIM_RELEASE: u8 = 34;
    /// Signal a container without its shim, which is dead or does not answer. Payload: [`super::Signal`] as JSON. The channel is the number
    /// of this request.
    pub const SIGNAL: u8 = 35;
    /// A client looks up its user's logins. Payload: the same as of `LOGINS`.
    pub const CLIENT_LOGINS: u8 = 36;
}

/// Launcher and shim, and any other process that connects to a shim's socket. The channel is not used.
pub mod shim {
    // To the shim.
    /// [`super::ToShim`] as JSON.
    pub const MESSAGE: u8 = 1;
    /// The launch of the container as JSON (`Start` of the shim). It has its own kind because it is large and is parsed into types in one
    /// pass. Its last descriptor is a pipe that holds the start until `SHIM_RELEASE`.
    pub const START: u8 = 3;
    /// A further process in the running container as JSON (`Exec` of the shim), with the descriptors of a client if there is one. The shim
    /// answers with `exec-started` or `failed`.
    pub const EXEC: u8 = 4;

    // From the shim.
    /// [`super::FromShim`] as JSON.
    pub const EVENT: u8 = 2;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ClientHello {
    pub version: u32,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    pub terminals: [bool; 3],
    pub size: Option<Window>,
    /// `detachKeys` of the user's `config.json`; read only if the command may lend a terminal.
    #[serde(default, rename = "detachKeys", skip_serializing_if = "Option::is_none")]
    pub detach_keys: Option<String>,
    /// The HTTP socket that the user named. An engine that listens on another one refers the client to that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Window {
    pub rows: u16,
    pub columns: u16,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ClientOpened {
    #[serde(flatten)]
    pub hello: ClientHello,
    pub uid: u32,
    pub gid: u32,
    pub pid: i32,
    /// Milliseconds since the epoch.
    pub at: f64,
    pub bound: Option<String>,
}

/// The first message of a launcher to its daemon.
#[derive(Debug, Serialize, Deserialize)]
pub struct DaemonHello {
    pub version: u32,
    pub pid: i32,
    /// Shims that are connected: id and channel.
    pub shims: Vec<(String, u32)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShimSpawn {
    pub id: String,
    pub directory: String,
    #[serde(default)]
    pub network: bool,
    /// The id maps of a user namespace that is made first.
    #[serde(default, rename = "idMaps")]
    pub id_maps: Option<IdMaps>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShimGone {
    /// The shim did not end by itself. If its container's first process lives, it is a child of the launcher now.
    pub killed: bool,
}

/// A signal to a container's first process. With `all`, and always with SIGKILL, it goes to all processes in its cgroup. With SIGKILL its
/// shim is killed, too.
#[derive(Debug, Serialize, Deserialize)]
pub struct Signal {
    pub id: String,
    /// The first process in the container's record. It is used only while it is in a cgroup with the container's id in its name.
    pub pid: i32,
    pub signal: i32,
    pub all: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Signalled {
    pub failure: Option<crate::failure::Failure>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    /// For its standard input; None: /dev/null.
    pub stdin: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Ran {
    pub code: i32,
    pub stdout: usize,
    pub failure: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum ToShim {
    /// The first message of a launcher on a shim's socket: from now on this connection gets all events.
    Control,
    /// The first message of any other process: after the answer, `attached`, the connection carries the container's stdio.
    Attach(Attach),
    /// End without a container. A start in progress fails.
    Abandon,
    /// A signal to the first process; with `all` to every process. Answered with `done` or `failed`, as are all messages that have a `seq`.
    Signal {
        seq: u32,
        signal: i32,
        #[serde(default)]
        all: bool,
    },
    /// Freeze all processes.
    Pause { seq: u32 },
    /// Thaw them.
    Resume { seq: u32 },
    /// The size of the container's terminal has changed.
    Resize { rows: u16, columns: u16 },
    /// A client joins the container's stdio. Its descriptors come with the frame: those of the set flags, in the order 0, 1, 2.
    Join {
        seq: u32,
        client: u32,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        #[serde(default, rename = "detachKeys")]
        detach_keys: Option<Vec<u8>>,
    },
    /// A client has left the container, or the exec to which it was joined.
    Leave { client: u32 },
    /// A signal to the process of an exec and its process group.
    SignalExec { seq: u32, exec: String, signal: i32 },
    /// The size of the terminal of an exec has changed.
    ResizeExec { exec: String, rows: u16, columns: u16 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attach {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Docker's eight-byte headers; false: the plain bytes.
    pub framed: bool,
    /// The exec that will be started under this id; None: the container itself.
    #[serde(default)]
    pub exec: Option<String>,
    /// None: Docker's, ctrl-P ctrl-Q. They apply only with a terminal.
    #[serde(default, rename = "detachKeys")]
    pub detach_keys: Option<Vec<u8>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Log {
    pub driver: LogDriver,
    pub path: String,
    #[serde(rename = "maxBytes")]
    pub max_bytes: u64,
    #[serde(rename = "maxFiles")]
    pub max_files: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    Local,
    JsonFile,
    None,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum FromShim {
    /// The state of the shim: the answer to a spawn and to `control`.
    State {
        shim: i32,
        #[serde(default = "first")]
        version: u32,
        netns: Option<String>,
        #[serde(default)]
        userns: Option<String>,
        pid: Option<i32>,
        exited: Option<Exit>,
        /// Execs that have not ended: id and pid.
        #[serde(default)]
        execs: Vec<(String, i32)>,
        /// The exits of the last execs, a bounded number. `exec-exited` has reported them before, perhaps to a daemon that is dead.
        #[serde(default, rename = "pastExecs")]
        past_execs: Vec<(String, Exit)>,
    },
    /// The first process runs.
    Started {
        seq: u32,
        pid: i32,
        warnings: Vec<String>,
        timings: Vec<(String, f64)>,
    },
    /// The process of an exec runs.
    ExecStarted {
        seq: u32,
        pid: i32,
        warnings: Vec<String>,
        timings: Vec<(String, f64)>,
    },
    /// The request is done.
    Done { seq: u32 },
    /// The request has failed. With a `seq` of 0 the shim itself could not be created.
    Failed { seq: u32, failure: crate::failure::Failure },
    /// The first process has ended.
    Exited { pid: i32, status: Exit },
    /// The process of an exec has ended.
    ExecExited {
        exec: String,
        pid: i32,
        status: Exit,
        /// The part of its output that was requested, in hexadecimal digits.
        output: Option<String>,
    },
    /// The container has reached its memory limit, and the kernel kills one of its processes.
    OutOfMemory,
    /// This client has received all output. `code`: the exit code of the process to which it was joined, if the client waits only for that.
    /// The launcher then ends the client, and reports that to the daemon.
    Flushed {
        client: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
    },
    /// The user of this client has typed the detach keys.
    Detached { client: u32 },
    /// The answer to `attach`.
    Attached,
}

/// The version of shims that do not report a version.
fn first() -> u32 {
    1
}

/// How a container ended. This is also the content of the file `exit` in its directory.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Exit {
    /// As a shell reports it: 128 + signal for a killed process.
    pub code: i32,
    pub signal: Option<i32>,
    #[serde(rename = "outOfMemory")]
    pub out_of_memory: bool,
    /// Milliseconds since the epoch.
    pub at: f64,
    /// The process is no child of the shim, and the kernel does not tell its exit code: only the format knows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
}
