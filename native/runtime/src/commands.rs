//! Starts a process by the commands of another runtime: `runc create` and `runc start`, or one program that is the process itself.
//!
//! ```text
//! caller                       conductor                                   the runtime's process
//!   │ cgroup                     ┊                                           ┊
//!   │ fork ─────────────────────▶│ own mount namespace, the root             ┊
//!   │                            │ step by step, each to its end ───────────▶│ waits in the cgroup
//!   │ ◀───── Forked (pidFile) ── │                                           │
//!   │ ◀─── Console (its socket)─ │                                           │
//!   │                            │ waits for the hold before a held step     │
//!   │ ◀────────────── Executing  │                                           │ execve
//!   │ ◀──────────── (its end)    ┊                                           │
//! ```
//! The runtime's process becomes the caller's child when the conductor's steps have ended, because the caller is the subreaper. If the last
//! step stays as the monitor of that process (LXC), the process is the monitor's child. Without a pid file the conductor itself becomes the
//! last step.

use crate::channel::{Channel, Message};
use crate::clock::Clock;
use crate::init::wait_for_release;
use crate::launch::Launching;
use crate::own_files;
use crate::pending::Pending;
use crate::process;
use crate::stdio::Stdio;
use rustix::event::PollFlags;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Stream};
use std::time::Duration;
use tsbox_core::container::cgroup::Cgroup;
use tsbox_core::container::idmap;
use tsbox_core::container::mounts::{self, Place};
use tsbox_core::container::namespaces::{self, Forked, MOUNT};
use tsbox_core::container::procfs::Procfs;
use tsbox_core::container::spec::OciMount;
use tsbox_core::container::terminal;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::mount::Mount;
use tsbox_core::sys::mount::{self, Attributes};
use tsbox_core::sys::owner::as_owner;
use tsbox_core::sys::{self, Call, messages, signals};
use tsbox_core::tree::root::Root;

/// How much of a failed command's error output its failure quotes, in bytes.
const QUOTED: usize = 4096;
/// How long a runtime that has ended may have taken to send its terminal.
const CONSOLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two looks at a file or a program that another process changes.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The descriptor of the conversation between conductor and [`crate::enter`], which other runtimes pass on.
pub const ENTRANCE: RawFd = 100;

/// One command.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub argv: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub working_directory: String,
    /// It has the container's standard streams; otherwise they are empty, and a failure quotes its error output.
    #[serde(default)]
    pub stdio: bool,
    /// It begins when the start is released.
    #[serde(default)]
    pub held: bool,
}

/// `Owners` of kernel/src/contract/exec.ts: ids on the host.
#[derive(Deserialize)]
pub struct Owners {
    /// Of the container's root.
    root: Ids,
    /// The uid of the process.
    process: u32,
}

#[derive(Deserialize)]
struct Ids {
    uid: u32,
    gid: u32,
}

/// `LaunchCommand` of kernel/src/contract/exec.ts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchCommand {
    pub steps: Vec<Step>,
    /// Where the root is mounted first. None: the format mounts it.
    pub rootfs: Option<PathBuf>,
    /// The cgroup that the runtime uses. None, for an exec: the container's.
    pub cgroup: Option<String>,
    pub pid_file: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    #[serde(default)]
    pub own_files: bool,
    #[serde(default)]
    pub directories: Vec<String>,
    #[serde(default)]
    pub files: Vec<String>,
    pub owners: Option<Owners>,
    #[serde(default)]
    pub mounts: Vec<OciMount>,
    #[serde(default)]
    pub read_only_root: bool,
    #[serde(default)]
    pub stays: bool,
    #[serde(default)]
    pub enter: bool,
}

impl LaunchCommand {
    /// `root`: what is mounted at `rootfs`.
    pub fn commands<'a>(&'a self, root: &'a [Mount], stdio: Stdio, hold: Option<BorrowedFd<'a>>) -> Commands<'a> {
        Commands {
            steps: &self.steps,
            root: self.rootfs.as_deref().map(|path| (path, root)),
            own_files: self.own_files,
            directories: &self.directories,
            files: &self.files,
            owners: self.owners.as_ref(),
            mounts: &self.mounts,
            read_only_root: self.read_only_root,
            stdio,
            hold,
            pid_file: self.pid_file.as_deref(),
            console_socket: self.console_socket.as_deref(),
            stays: self.stays,
            enter: self.enter,
        }
    }
}

pub struct Commands<'a> {
    /// Run one after another; each must exit with 0.
    pub steps: &'a [Step],
    /// The directory where the root is mounted first, and its mounts. None: nothing is mounted.
    pub root: Option<(&'a Path, &'a [Mount])>,
    /// The root gets the files of `own_files`.
    pub own_files: bool,
    /// Directories and empty files that the root gets if it lacks them.
    pub directories: &'a [String],
    pub files: &'a [String],
    /// Who gets those, and the standard streams. None: the host's root.
    pub owners: Option<&'a Owners>,
    /// Mounts that are made below the root.
    pub mounts: &'a [OciMount],
    /// The root is made read-only, and not those mounts.
    pub read_only_root: bool,
    pub stdio: Stdio,
    /// See [`crate::Launch::hold`].
    pub hold: Option<BorrowedFd<'a>>,
    /// The file to which the steps write the pid of the first process. None: the last step is the first process.
    pub pid_file: Option<&'a Path>,
    /// The socket to which the steps send the process's terminal.
    pub console_socket: Option<&'a Path>,
    /// The last step goes on beside the process, as its parent.
    pub stays: bool,
    /// The first process becomes the container's command by way of [`crate::enter`]. False: the runtime executes the command itself, and
    /// its steps end when the command runs.
    pub enter: bool,
}

/// Starts a container. `cgroup`: the path of the cgroup that the runtime uses; what an earlier start has left there is removed.
pub fn command(commands: &Commands, cgroup: &str) -> Result<Launching> {
    let cgroup = Cgroup::vacated(cgroup).map_err(|failure| failure.at("cgroup"))?;
    join_command(commands).map(|pending| Launching::by_commands(pending, cgroup))
}

/// Starts a further process in a running container.
pub fn join_command(commands: &Commands) -> Result<Pending> {
    let clock = Clock::start();
    let (ours, theirs) = Channel::pair()?;
    let births = u32::from(commands.pid_file.is_some());
    match namespaces::fork(0, None, false).map_err(|failure| failure.at("clone"))? {
        Forked::Parent { pid, pidfd } => Ok(Pending::new(
            ours,
            (pid, pidfd),
            births,
            clock,
            "the process that runs the runtime's commands was killed",
        )),
        Forked::Child => {
            drop(ours);
            let failure = match conduct(commands, &theirs) {
                Ok(()) => process::leave(0),
                Err(failure) => failure,
            };
            let sent = theirs.send(&Message::Failed(failure));
            process::leave(1 + i32::from(sent.is_err()))
        }
    }
}

/// The conductor's work, up to its end; without a pid file it does not return but for a failure.
fn conduct(commands: &Commands, channel: &Channel) -> Result<()> {
    process::begin(c"tsbox:[launch]")?;
    signals::unblock_all();
    // The caller is protected from the kernel's choice when memory runs out; what it starts is not.
    let _ = Procfs::of_host()?.write("self/oom_score_adj", "0");
    if let Some((path, mounts)) = commands.root {
        mount_root(path, mounts, commands).map_err(|failure| failure.at("rootfs"))?;
    }
    if let (Some(owners), Stdio::Fds(fds)) = (commands.owners, commands.stdio) {
        terminal::hand_over(fds, owners.process);
    }
    let terminal = match (commands.stdio, commands.console_socket, commands.enter) {
        (Stdio::Terminal { .. }, None, false) => Some(own_terminal()?),
        _ => None,
    };
    if let Some((master, _)) = &terminal {
        size(commands.stdio, master.as_fd());
        channel.send_with(&Message::Console, master.as_fd())?;
    }
    let slave = terminal.as_ref().map(|(_, slave)| slave.as_fd());
    let listener = commands.console_socket.map(listen).transpose()?;
    let mut clock = Clock::start();
    let mut launched: Option<OwnedFd> = None;
    let (entrance, theirs) = Channel::pair()?;
    for (at, step) in commands.steps.iter().enumerate() {
        if let (true, Some(hold)) = (step.held, commands.hold) {
            wait_for_release(hold).map_err(|failure| failure.at("hold"))?;
            clock.lap("hold");
        }
        let is_last = at + 1 == commands.steps.len();
        match commands.pid_file {
            None if is_last => return become_step(step, commands.stdio, slave, channel, clock),
            Some(file) if is_last && commands.stays => {
                launched = Some(begin_monitor(step, commands.stdio, slave, file, channel, &theirs)?);
            }
            file => {
                run(step, commands.stdio, slave)?;
                if let (None, Some(file)) = (&launched, file) {
                    launched = announce(file, channel)?;
                }
            }
        }
        clock.lap(name_of(step));
        if let Some(listener) = listener.as_ref().filter(|_| step.stdio) {
            let master = accept(listener)?;
            size(commands.stdio, master.as_fd());
            channel.send_with(&Message::Console, master.as_fd())?;
        }
    }
    let unknown = "the runtime's commands have ended without a word of the process that they started: they wrote no pid";
    let (pid, pidfd) = match (launched, commands.pid_file.map(pid_in)) {
        (Some(pidfd), Some(Ok(Some(pid)))) => (pid, pidfd),
        _ => return Err(Failure::new(Code::Internal, unknown).at("command")),
    };
    if commands.enter {
        await_entrance(commands, pid, pidfd.as_fd(), &entrance, channel)?;
    }
    channel.send(&Message::Executing {
        warnings: Vec::new(),
        timings: clock.laps,
    })
}

fn mount_root(path: &Path, mounts: &[Mount], commands: &Commands) -> Result<()> {
    namespaces::unshare(MOUNT)?;
    let top = sys::open("/", libc::O_PATH | libc::O_DIRECTORY)?;
    // Mounts that the host makes later arrive here; what is mounted here stays here.
    let slave = Attributes {
        propagation: libc::MS_SLAVE,
        ..Attributes::default()
    };
    mount::set_attributes(top.as_fd(), slave, true)?;
    std::fs::create_dir_all(path).map_err(|error| Failure::io(&error, "mkdir", path.to_str()))?;
    let early = mounts::open_early(commands.mounts, true, None)?;
    let root = Root::new(idmap::open_detached(mounts)?);
    let make = || {
        complete(&root, commands);
        mount::attach(root.fd(), path)?;
        let place = Place {
            root: &root,
            cgroup: None,
            cgroup_namespace: false,
            label: None,
        };
        mounts::mount_all(&place, commands.mounts, early).map_err(|failure| failure.at("mounts"))
    };
    match commands.owners {
        Some(owners) => as_owner((owners.root.uid, owners.root.gid), make)?,
        None => make()?,
    }
    if commands.read_only_root {
        let read_only = Attributes {
            set: mount::RDONLY,
            ..Attributes::default()
        };
        mount::set_attributes(root.fd(), read_only, false)?;
    }
    Ok(())
}

/// Makes the files that the root lacks. A root that can't be written goes without, and the runtime or the process says so.
fn complete(root: &Root, commands: &Commands) {
    if commands.own_files {
        own_files::make(root);
    }
    for directory in commands.directories {
        let _ = root.make_directory(directory, 0o755);
    }
    for file in commands.files {
        let _ = root.make_file(file);
    }
}

/// Runs a step to its end. It dies with the conductor.
fn run(step: &Step, stdio: Stdio, slave: Option<BorrowedFd>) -> Result<()> {
    let mut command = prepared(step)?;
    // A file and not a pipe: what the step leaves running may hold it open for ever.
    let mut errors = None;
    if step.stdio {
        with_streams(&mut command, stdio, slave)?;
    } else {
        let file = File::from(memfd_create(c"errors", MemfdFlags::CLOEXEC).call("memfd_create", None)?);
        let copy = file.try_clone().map_err(|error| Failure::io(&error, "dup", None))?;
        command.stdin(Stream::null()).stdout(Stream::null()).stderr(copy);
        errors = Some(file);
    }
    // SAFETY: an async-signal-safe call.
    unsafe {
        command.pre_exec(|| {
            sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0, "PR_SET_PDEATHSIG")
                .map(drop)
                .map_err(|failure| std::io::Error::other(failure.message))
        });
    }
    let status = command.status().map_err(|error| not_started(step, &error))?;
    if status.success() {
        return Ok(());
    }
    let what = format!("{}: {status}", name_of(step));
    let said = errors.map(|file| beginning(&file)).unwrap_or_default();
    Err(Failure::new(Code::Internal, if said.is_empty() { what } else { format!("{what}: {said}") }).at("command"))
}

/// The conductor goes on as the step.
fn become_step(step: &Step, stdio: Stdio, slave: Option<BorrowedFd>, channel: &Channel, clock: Clock) -> Result<()> {
    let mut command = prepared(step)?;
    with_streams(&mut command, stdio, slave)?;
    process::outlive_parent()?;
    channel.send(&Message::Executing {
        warnings: Vec::new(),
        timings: clock.laps,
    })?;
    Err(not_started(step, &command.exec()))
}

fn prepared(step: &Step) -> Result<Command> {
    let (program, arguments) = step
        .argv
        .split_first()
        .ok_or_else(|| Failure::new(Code::InvalidArgument, "a step of the launch has no command").at("command"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(&step.environment)
        .current_dir(&step.working_directory);
    Ok(command)
}

fn with_streams(command: &mut Command, stdio: Stdio, slave: Option<BorrowedFd>) -> Result<()> {
    let duplicate = |fd: BorrowedFd| {
        fd.try_clone_to_owned()
            .map_err(|error| Failure::io(&error, "dup", None).at("stdio"))
    };
    match (stdio, slave) {
        (Stdio::Fds(fds), _) => {
            // SAFETY: the caller keeps its descriptors open until the process runs.
            let [input, output, errors] = fds.map(|fd| unsafe { BorrowedFd::borrow_raw(fd) });
            command
                .stdin(duplicate(input)?)
                .stdout(duplicate(output)?)
                .stderr(duplicate(errors)?);
        }
        (Stdio::Terminal { .. }, Some(slave)) => {
            command.stdin(duplicate(slave)?).stdout(duplicate(slave)?).stderr(duplicate(slave)?);
            // SAFETY: async-signal-safe calls.
            unsafe {
                command.pre_exec(|| {
                    let _ = rustix::process::setsid();
                    terminal::control().map_err(|failure| std::io::Error::other(failure.message))
                });
            }
        }
        // The terminal is the runtime's own, which sends it to the console socket.
        (Stdio::Terminal { .. }, None) => {
            command.stdin(Stream::null()).stdout(Stream::null()).stderr(Stream::null());
        }
    }
    Ok(())
}

/// The first bytes of the error output.
fn beginning(file: &File) -> String {
    let mut bytes = [0; QUOTED];
    let count = file.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..count]).trim().to_owned()
}

fn not_started(step: &Step, error: &std::io::Error) -> Failure {
    let program = step.argv.first().map(String::as_str).unwrap_or_default();
    Failure::new(Code::Unavailable, format!("the runtime {program} can't be started: {error}")).at("command")
}

/// The program without its directory.
fn name_of(step: &Step) -> &str {
    let program = step.argv.first().map(String::as_str).unwrap_or_default();
    program.rsplit('/').next().unwrap_or(program)
}

/// Sends the process of the pid file, and returns its pidfd. None: the file is not there yet.
fn announce(file: &Path, channel: &Channel) -> Result<Option<OwnedFd>> {
    let Some(pid) = pid_in(file)? else { return Ok(None) };
    let pidfd = sys::process::open(pid).map_err(|failure| match failure.errno {
        Some(libc::ESRCH) => Failure::new(Code::Internal, "the container's first process ended at once").at("command"),
        _ => failure,
    })?;
    channel.send_with(&Message::Forked(pid), pidfd.as_fd())?;
    Ok(Some(pidfd))
}

/// None: the file is not there yet, or is being written.
fn pid_in(file: &Path) -> Result<Option<i32>> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        Failure::new(
            Code::Internal,
            format!("the pid file says {:?}", text.chars().take(40).collect::<String>()),
        )
        .at("command")
    };
    text.parse().ok().filter(|pid| *pid > 1).ok_or_else(wrong).map(Some)
}

/// Starts the step that stays, and waits for its pid file. It outlives the conductor.
fn begin_monitor(
    step: &Step,
    stdio: Stdio,
    slave: Option<BorrowedFd>,
    file: &Path,
    channel: &Channel,
    entrance: &Channel,
) -> Result<OwnedFd> {
    let mut command = prepared(step)?;
    with_streams(&mut command, stdio, slave)?;
    let number = entrance.fd();
    // SAFETY: plain numbers, and an async-signal-safe call. The copy has no close-on-exec flag.
    unsafe {
        command.pre_exec(move || match libc::dup2(number, ENTRANCE) {
            ENTRANCE => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut monitor = command.spawn().map_err(|error| not_started(step, &error))?;
    loop {
        if let Some(pidfd) = announce(file, channel)? {
            return Ok(pidfd);
        }
        let ended = monitor.try_wait().map_err(|error| Failure::io(&error, "wait", None))?;
        if let Some(status) = ended {
            return Err(Failure::new(Code::Internal, format!("{}: {status}", name_of(step))).at("command"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until the process has executed the container's command. The kernel closes its end of the conversation then; the monitor has that
/// end, too, so that the process's own descriptor is what tells.
fn await_entrance(commands: &Commands, pid: i32, pidfd: BorrowedFd, entrance: &Channel, channel: &Channel) -> Result<()> {
    let own_end = format!("/proc/{pid}/fd/{ENTRANCE}");
    let mut executing = false;
    entrance.send(&Message::GoOn)?;
    loop {
        // The order counts: what an ended process has sent is still there.
        let ended = sys::process::await_end(pidfd, Duration::ZERO);
        let left = executing && std::fs::symlink_metadata(&own_end).is_err();
        while let Some(packet) = entrance.poll()? {
            match packet {
                Some((Message::Executing { .. }, _)) => executing = true,
                Some((Message::Console, Some(master))) => {
                    size(commands.stdio, master.as_fd());
                    channel.send_with(&Message::Console, master.as_fd())?;
                    entrance.send(&Message::GoOn)?;
                }
                Some((Message::Failed(failure), _)) => return Err(failure),
                _ => return Err(Failure::new(Code::Internal, "unexpected message").at("command")),
            }
        }
        match (ended, executing) {
            (true, false) => {
                let what = "the container's first process ended before it could execute the command";
                return Err(Failure::new(Code::Internal, what).at("command"));
            }
            (true, true) => return Ok(()),
            (false, _) if left => return Ok(()),
            _ => drop(entrance.await_readable(LOOK_EVERY)),
        }
    }
}

/// A pseudo-terminal of the host, for a runtime that gives its own terminal on: the master and the other end.
fn own_terminal() -> Result<(OwnedFd, OwnedFd)> {
    terminal::Terminal::of_host()
        .map(|terminal| (terminal.master, terminal.slave))
        .map_err(|failure| failure.at("terminal"))
}

fn size(stdio: Stdio, master: BorrowedFd) {
    if let Stdio::Terminal { rows, columns } = stdio
        && rows > 0
        && columns > 0
    {
        // A process that finds no size asks its terminal.
        let _ = terminal::resize(master, rows, columns);
    }
}

/// Listens at a path of any length: a socket's own path has at most 107 bytes.
fn listen(path: &Path) -> Result<UnixListener> {
    let failed = |error: std::io::Error| Failure::io(&error, "listen", path.to_str()).at("terminal");
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(Failure::new(Code::InvalidArgument, "the console socket has no directory").at("terminal"));
    };
    let _ = std::fs::remove_file(path);
    let folder = File::open(directory).map_err(failed)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// The terminal that the runtime has sent. Its connection waits already when the command has ended.
fn accept(listener: &UnixListener) -> Result<OwnedFd> {
    let silent = || Failure::new(Code::DeadlineExceeded, "the runtime has sent no terminal").at("terminal");
    if !sys::process::is_ready(listener.as_fd(), PollFlags::IN, CONSOLE_TIMEOUT) {
        return Err(silent());
    }
    let (stream, _) = listener
        .accept()
        .map_err(|error| Failure::io(&error, "accept", None).at("terminal"))?;
    if !sys::process::is_ready(stream.as_fd(), PollFlags::IN, CONSOLE_TIMEOUT) {
        return Err(silent());
    }
    let (mut bytes, mut received) = ([0; 4096], Vec::new());
    messages::receive(&stream, &mut bytes, &mut received).map_err(|error| Failure::io(&error, "recvmsg", None).at("terminal"))?;
    received.pop().ok_or_else(silent)
}
