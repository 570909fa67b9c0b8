//! The last steps of every process of a container, its first one and those that join: limits, user, capabilities, seccomp, execve.

use crate::channel::{Channel, Message};
use crate::clock::Clock;
use crate::reaper;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use tsbox_core::container::capabilities::Sets;
use tsbox_core::container::namespaces::{self, Forked};
use tsbox_core::container::procfs::Procfs;
use tsbox_core::container::spec::{Process, Rlimit};
use tsbox_core::container::{identity, seccomp, terminal};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys;

pub struct Last<'a> {
    pub process: &'a Process,
    pub filter: Option<&'a [u8]>,
    pub filter_flags: u32,
    pub terminal: bool,
    /// This binary, where it is to be the first process and the command its child.
    pub reaper: Option<BorrowedFd<'a>>,
    /// A /proc in which the calling process is found; None: one of its pid namespace is opened where it is needed.
    pub procfs: Option<&'a Procfs>,
}

/// First thing after the fork. Until exec this is our own binary, in a container's namespaces: nobody there may look into it
/// (CVE-2019-5736), and it goes with the one who started it.
pub fn begin(title: &CStr) -> Result<()> {
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0, "PR_SET_DUMPABLE")?;
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0, "PR_SET_PDEATHSIG")?;
    identity::set_title(title);
    Ok(())
}

pub fn outlive_parent() -> Result<()> {
    sys::prctl(libc::PR_SET_PDEATHSIG, 0, 0, "PR_SET_PDEATHSIG").map(drop)
}

/// Ends without running what the forked program would run at its exit.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit does not return.
    unsafe { libc::_exit(code) }
}

pub fn new_session() -> Result<()> {
    // SAFETY: no arguments. EPERM: leads one already.
    match sys::check(unsafe { libc::setsid() }.into(), "setsid", None) {
        Err(failure) if failure.errno != Some(libc::EPERM) => Err(failure),
        _ => Ok(()),
    }
}

/// Root of the user namespace that was just entered.
pub fn become_root() -> Result<()> {
    // SAFETY: plain numbers. Groups of the host mean nothing inside; where setgroups is forbidden they stay, as the kernel wants it.
    unsafe {
        libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>());
        sys::check(libc::syscall(libc::SYS_setresgid, 0, 0, 0), "setresgid", None)?;
        sys::check(libc::syscall(libc::SYS_setresuid, 0, 0, 0), "setresuid", None)?;
    }
    Ok(())
}

/// Less than the caller's own needs CAP_SYS_RESOURCE: told, not fatal.
pub fn set_oom_score(process: &Process, warnings: &mut Vec<String>) -> Result<()> {
    let Some(score) = process.oom_score_adj else { return Ok(()) };
    match Procfs::of_host()?.write("self/oom_score_adj", &score.to_string()) {
        Err(failure) if failure.code == Code::PermissionDenied => {
            warnings.push(format!(
                "an out-of-memory score of {score} is below what this host allows; left as it is"
            ));
            Ok(())
        }
        answer => answer.map_err(|failure| failure.at("oom score")),
    }
}

/// Whether there is anything to execute, as far as that can be told beforehand: `create` shall say so, not `start`.
pub fn find_command(process: &Process) -> Result<()> {
    let command = Command::of(process)?;
    // A relative one depends on the working directory, where the user may not even be able to look.
    if command.paths.iter().any(|path| !path.as_bytes().starts_with(b"/")) {
        return Ok(());
    }
    let mut errno = libc::ENOENT;
    for path in &command.paths {
        // SAFETY: a C string, and a record that the kernel fills.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            if libc::stat(path.as_ptr(), &mut stat) != 0 {
                continue;
            }
            if stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_mode & 0o111 != 0 {
                return Ok(());
            }
            errno = libc::EACCES;
        }
    }
    Err(command.failure(errno))
}

/// Ends in execve, or says why not. For a process that nobody of the container can see yet, or whose pid namespace is its own.
pub fn become_and_exec(last: &Last, channel: &Channel, warnings: Vec<String>, clock: Clock) -> Result<Infallible> {
    let shape = Shape {
        filter: last.filter,
        limits: last.process.rlimits.clone(),
        extra: 0,
        keep: None,
    };
    let command = assume(last, channel, warnings, clock, shape)?;
    if last.terminal {
        terminal::control().map_err(|failure| failure.at("terminal"))?;
    }
    Err(command.execute(last))
}

/// As [`become_and_exec`], in a process that is outside of the pid namespace which its children are born in. A process of the container
/// that has CAP_SYS_PTRACE may look into whoever it sees, and stop and change it. So what it sees is born with nothing that the container
/// does not have: its root, its user and capabilities, its seccomp filter, descriptors 0, 1 and 2 and the channel. All that is left to do
/// there is to lead a session and to execute. It tells its failure itself (`stage`): its caller's descriptors are closed by then, and must
/// not be closed again.
pub fn become_and_exec_inside(last: &Last, channel: &Channel, warnings: Vec<String>, clock: Clock, stage: &str) -> ! {
    let failure = match born_inside(last, channel, warnings, clock) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let _ = channel.send(&Message::Failed(failure.at(stage)));
    leave(1)
}

fn born_inside(last: &Last, channel: &Channel, warnings: Vec<String>, clock: Clock) -> Result<Infallible> {
    // A filter that forbids what comes after it is installed by the new process: with one capability more for that long, unless it has
    // no_new_privs.
    let late = last.filter.filter(|filter| !lets_begin(filter, last));
    let mut keep = vec![channel.fd()];
    keep.extend(last.reaper.map(|reaper| reaper.as_raw_fd()));
    let shape = Shape {
        filter: last.filter.filter(|_| late.is_none()),
        limits: last.process.rlimits.iter().map(roomy).collect::<Result<_>>()?,
        extra: late.filter(|_| !last.process.no_new_privileges).map_or(0, |_| SYS_ADMIN),
        keep: Some(keep),
    };
    let command = assume(last, channel, warnings, clock, shape)?;
    // SAFETY: fork(2) by the one call that filters can look into; the child goes on with a copy of this stack.
    match sys::check(unsafe { libc::syscall(libc::SYS_clone, SIBLING, 0, 0, 0, 0) }, "clone", None)? {
        0 => {}
        pid => {
            channel.send(&Message::Born(pid as i32))?;
            leave(0)
        }
    }
    new_session()?;
    if last.terminal {
        terminal::control().map_err(|failure| failure.at("terminal"))?;
    }
    // Of the user's processes this one counts, and the one that made it does not.
    identity::set_rlimits(&process_limits(last.process), &mut Vec::new()).map_err(|failure| failure.at("rlimits"))?;
    if let Some(filter) = late {
        seccomp::install(filter, last.filter_flags).map_err(|failure| failure.at("seccomp"))?;
        if let Some(wanted) = &last.process.capabilities {
            let sets = Sets::of(wanted, &mut Vec::new()).map_err(|failure| failure.at("capabilities"))?;
            sets.apply().map_err(|failure| failure.at("capabilities"))?;
        }
    }
    Err(command.execute(last))
}

/// The caller goes on as a new process in another pid namespace, with no descriptor but the channel's, its gate's and 0, 1, 2. Whatever
/// else it owned it has dropped.
pub fn be_born_in(namespace: BorrowedFd, channel: &Channel, gate: BorrowedFd, reaper: Option<BorrowedFd>) -> Result<()> {
    namespaces::join(namespace, namespaces::PID).map_err(|failure| failure.at("namespaces"))?;
    let mut keep = vec![channel.fd(), gate.as_raw_fd()];
    keep.extend(reaper.map(|reaper| reaper.as_raw_fd()));
    close_all_but(keep)?;
    if let Forked::Parent { pid, .. } = namespaces::fork(0, None, true)? {
        channel.send(&Message::Born(pid))?;
        leave(0)
    }
    new_session()
}

/// A child of the parent: of whoever started this process.
const SIBLING: libc::c_long = (libc::CLONE_PARENT | libc::SIGCHLD) as libc::c_long;
/// CAP_SYS_ADMIN.
const SYS_ADMIN: u64 = 1 << 21;

/// Whether a filter lets a process do what comes between its installation and the command.
fn lets_begin(filter: &[u8], last: &Last) -> bool {
    let allows = |number, arguments| seccomp::allows(filter, number, arguments);
    allows(libc::SYS_clone, [SIBLING as u64, 0, 0, 0, 0, 0])
        && allows(libc::SYS_setsid, [0; 6])
        && allows(libc::SYS_write, [0; 6])
        && allows(libc::SYS_exit_group, [0; 6])
        && (!last.terminal || allows(libc::SYS_ioctl, [0, libc::TIOCSCTTY as u64, 0, 0, 0, 0]))
        && (process_limits(last.process).is_empty() || allows(libc::SYS_prlimit64, [0; 6]))
}

/// The limit of processes counts whoever sets it: the one that makes the last one must not be one too many.
fn is_of_processes(limit: &Rlimit) -> bool {
    limit.type_.trim_start_matches("RLIMIT_") == "NPROC"
}

fn process_limits(process: &Process) -> Vec<Rlimit> {
    process.rlimits.iter().filter(|limit| is_of_processes(limit)).cloned().collect()
}

/// The limit of processes as high as it may be set back from, every other one as it is.
fn roomy(limit: &Rlimit) -> Result<Rlimit> {
    if !is_of_processes(limit) {
        return Ok(limit.clone());
    }
    // SAFETY: a record that the kernel fills.
    let now = unsafe {
        let mut now: libc::rlimit = std::mem::zeroed();
        sys::check(libc::getrlimit(libc::RLIMIT_NPROC, &mut now).into(), "getrlimit", None)?;
        now
    };
    let most = limit.hard.max(now.rlim_max);
    Ok(Rlimit {
        soft: most,
        hard: most,
        ..limit.clone()
    })
}

/// How far a process goes on its way to becoming the container's.
struct Shape<'a> {
    filter: Option<&'a [u8]>,
    limits: Vec<Rlimit>,
    /// Capabilities that it keeps besides.
    extra: u64,
    /// The only descriptors above 2 that stay open; None: all of them until exec.
    keep: Option<Vec<RawFd>>,
}

/// Gives the calling process the user, the capabilities, the limits and the filter of the container, and says that all is ready to execute.
fn assume(last: &Last, channel: &Channel, mut warnings: Vec<String>, mut clock: Clock, shape: Shape) -> Result<Command> {
    let process = last.process;
    let command = Command::of(process)?;
    prepare(last, &shape.limits, &mut warnings)?;
    let sets = match &process.capabilities {
        Some(wanted) => {
            let sets = Sets::of(wanted, &mut warnings).map_err(|failure| failure.at("capabilities"))?;
            Some(sets.with(shape.extra))
        }
        None => None,
    };
    if !last.terminal {
        terminal::own_null().map_err(|failure| failure.at("stdio"))?;
        terminal::hand_over([0, 1, 2], process.user.uid);
    }
    // All that is above 2 goes at exec: a directory of the host among them would be a way out (CVE-2024-21626).
    match shape.keep {
        Some(keep) => close_all_but(keep)?,
        None => close_on_exec()?,
    }
    // As root first: a user may stand in a directory that he could not walk to.
    let early = change_directory(&process.cwd);
    outlive_parent()?;
    // Whatever the starter had blocked.
    // SAFETY: an empty set.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
    clock.lap("process");
    channel.send(&Message::Executing {
        warnings,
        timings: std::mem::take(&mut clock.laps),
    })?;

    let install = || match shape.filter {
        Some(filter) => seccomp::install(filter, last.filter_flags).map_err(|failure| failure.at("seccomp")),
        None => Ok(()),
    };
    if process.no_new_privileges {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, "PR_SET_NO_NEW_PRIVS")?;
    } else {
        // Needs CAP_SYS_ADMIN, which is about to go.
        install()?;
    }
    if let Some(sets) = &sets {
        sets.bound().map_err(|failure| failure.at("capabilities"))?;
    }
    identity::become_user(&process.user).map_err(|failure| failure.at("user"))?;
    if let Some(sets) = &sets {
        sets.apply().map_err(|failure| failure.at("capabilities"))?;
    }
    if early.is_err() {
        change_directory(&process.cwd).map_err(|failure| failure.at("cwd"))?;
    }
    check_directory(&process.cwd)?;
    if process.no_new_privileges {
        install()?;
    }
    Ok(command)
}

/// Closes every descriptor above 2 that is not to be kept.
pub fn close_all_but(mut keep: Vec<RawFd>) -> Result<()> {
    keep.retain(|fd| *fd > 2);
    keep.sort_unstable();
    let mut first = 3u32;
    for last in keep.iter().map(|fd| *fd as u32).chain([u32::MAX]) {
        let before = if last == u32::MAX { last } else { last - 1 };
        if first <= before {
            // SAFETY: plain numbers; what still names one of these descriptors in this process is not used any more.
            sys::check(
                unsafe { libc::syscall(libc::SYS_close_range, first, before, 0) },
                "close_range",
                None,
            )?;
        }
        first = last.saturating_add(1);
    }
    Ok(())
}

fn prepare(last: &Last, limits: &[Rlimit], warnings: &mut Vec<String>) -> Result<()> {
    let process = last.process;
    identity::set_rlimits(limits, warnings).map_err(|failure| failure.at("rlimits"))?;
    if let Some(priority) = &process.io_priority {
        identity::set_io_priority(priority).map_err(|failure| failure.at("ioPriority"))?;
    }
    if let Some(scheduler) = &process.scheduler {
        identity::set_scheduler(scheduler).map_err(|failure| failure.at("scheduler"))?;
    }
    let labels = [
        ("apparmor/exec", process.apparmor_profile.as_deref(), "exec "),
        ("exec", process.selinux_label.as_deref(), ""),
    ];
    for (file, label, prefix) in labels {
        let Some(label) = label.filter(|label| !label.is_empty()) else {
            continue;
        };
        let value = format!("{prefix}{label}");
        let own;
        let proc = match last.procfs {
            Some(proc) => proc,
            None => {
                own = Procfs::detached()?;
                &own
            }
        };
        // The module's own directory is Linux 5.8's; AppArmor alone has the other file too.
        let written = match proc.write(&format!("self/attr/{file}"), &value) {
            Err(failure) if failure.code == Code::NotFound => proc.write("self/attr/exec", &value),
            answer => answer,
        };
        written.map_err(|failure| {
            Failure {
                message: format!("label {label}: {}", failure.message),
                ..failure
            }
            .at("labels")
        })?;
    }
    // SAFETY: umask can't fail; each signal's handler is set to the default, those that have none say EINVAL.
    unsafe {
        libc::umask(process.user.umask.unwrap_or(0o022));
        for signal in 1..65 {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
    Ok(())
}

fn close_on_exec() -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: plain numbers.
    sys::check(
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, CLOSE_RANGE_CLOEXEC) },
        "close_range",
        None,
    )
    .map(drop)
}

fn change_directory(path: &str) -> Result<()> {
    let path = if path.is_empty() { "/" } else { path };
    let name = sys::text(path)?;
    // SAFETY: `name` outlives the call.
    sys::check(unsafe { libc::chdir(name.as_ptr()) }.into(), "chdir", Some(path))
        .map(drop)
        .map_err(|failure| Failure {
            message: format!("chdir to cwd ({path:?}) failed: {}", reason(failure.errno)),
            ..failure
        })
}

/// As runc says it: the C library's words, small.
fn reason(errno: Option<i32>) -> String {
    let text = std::io::Error::from_raw_os_error(errno.unwrap_or(0)).to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

/// A working directory outside of the root (a descriptor of the host that leaked, CVE-2024-21626) has no path from it: the kernel says
/// "(unreachable)".
fn check_directory(path: &str) -> Result<()> {
    let mut buffer = [0u8; 4096];
    // SAFETY: a buffer of that length. The call itself: the C library's hides what the kernel says.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    match sys::check(length, "getcwd", Some(path)) {
        Ok(_) if buffer[0] == b'/' => Ok(()),
        Ok(_) => Err(Failure::new(
            Code::InvalidArgument,
            format!("working directory {path} is outside of the container"),
        )
        .at("cwd")),
        // A path longer than the buffer is one from the root.
        Err(failure) if failure.errno == Some(libc::ERANGE) => Ok(()),
        Err(failure) => Err(failure.at("cwd")),
    }
}

/// execve's arguments, laid out while memory may still be taken.
struct Command {
    name: String,
    paths: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Command {
    fn of(process: &Process) -> Result<Command> {
        let strings = |words: &[String]| words.iter().map(|word| sys::text(word)).collect::<Result<Vec<CString>>>();
        let name = process.args.first().cloned().unwrap_or_default();
        let mut environment = strings(&process.env)?;
        let variable = |key: &str| process.env.iter().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='));
        if variable("HOME").is_none_or(str::is_empty) {
            environment.push(sys::text(&format!("HOME={}", home(process.user.uid)))?);
        }
        let paths = if name.contains('/') {
            vec![sys::text(&name)?]
        } else {
            let path = variable("PATH").unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
            let places = path.split(':').map(|place| if place.is_empty() { "." } else { place });
            places.map(|place| sys::text(&format!("{place}/{name}"))).collect::<Result<_>>()?
        };
        Ok(Command {
            name,
            paths,
            arguments: strings(&process.args)?,
            environment,
        })
    }

    /// Answers only when nothing could be executed.
    fn execute(&self, last: &Last) -> Failure {
        match last.reaper {
            Some(reaper) => self.run_below(reaper),
            None => self.run(),
        }
    }

    /// Answers only when none of the paths runs.
    fn run(&self) -> Failure {
        let pointers = |strings: &[CString]| strings.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        let mut worst = libc::ENOENT;
        for path in &self.paths {
            // SAFETY: both lists end with a null pointer and outlive the call, as do the strings.
            unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
            let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
            if !matches!(errno, libc::ENOENT | libc::ENOTDIR) {
                worst = errno;
                // Another place of PATH may have one that runs.
                if errno != libc::EACCES {
                    break;
                }
            }
        }
        self.failure(worst)
    }

    /// Executes the reaper, which executes the command. Whether there is one has been looked at before ([`find_command`]).
    fn run_below(&self, reaper: BorrowedFd) -> Failure {
        let first = [reaper::NAME_C.as_ptr()];
        let arguments: Vec<_> = first
            .into_iter()
            .chain(self.arguments.iter().map(|one| one.as_ptr()))
            .chain([std::ptr::null()])
            .collect();
        let environment: Vec<_> = self.environment.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect();
        // SAFETY: both lists end with a null pointer and outlive the call, as do the strings.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                reaper.as_raw_fd(),
                c"".as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        Failure::last("execveat", None).at("exec")
    }

    fn failure(&self, errno: i32) -> Failure {
        let name = &self.name;
        let failure = Failure::os(errno, "execve", Some(name));
        let (code, message) = match errno {
            libc::ENOENT if name.contains('/') => (Code::CommandNotFound, format!("exec {name:?}: no such file or directory")),
            libc::ENOENT => (Code::CommandNotFound, format!("exec {name:?}: executable file not found in $PATH")),
            libc::ENOEXEC => (Code::NotExecutable, format!("exec {name:?}: exec format error")),
            libc::EACCES => (Code::NotExecutable, format!("exec {name:?}: permission denied")),
            _ => (Code::NotExecutable, failure.message.clone()),
        };
        Failure { code, message, ..failure }.at("exec")
    }
}

/// The home directory that the container's own /etc/passwd gives a user; what is not there is `/`.
fn home(uid: u32) -> String {
    let text = read_accounts().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let uid = uid.to_string();
    let found = text
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()));
    found
        .and_then(|fields| fields.get(5).filter(|home| !home.is_empty()).map(|home| home.to_string()))
        .unwrap_or_else(|| "/".to_owned())
}

/// A regular file of a bounded size: what lies there is the container's, and a fifo would be waited for.
fn read_accounts() -> Result<Vec<u8>> {
    const LARGEST: u64 = 1 << 20;
    let file = sys::open("/etc/passwd", libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?;
    if sys::stat(file.as_fd())?.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(Failure::new(Code::InvalidArgument, "/etc/passwd is no regular file"));
    }
    let mut text = Vec::new();
    let read = std::fs::File::from(file).take(LARGEST).read_to_end(&mut text);
    read.map_err(|error| Failure::io(&error, "read", Some("/etc/passwd")))?;
    Ok(text)
}
