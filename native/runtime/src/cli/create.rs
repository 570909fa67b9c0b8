//! `create` and `run`.

use super::dispose::{dispose, run_late};
use super::state::{self, Container, Record};
use super::{Global, next, unexpected, value, warn};
use super::{foreground, gate};
use crate::hooks;
use crate::launch::{self, Launch};
use crate::rootfs::Root;
use crate::stdio::Stdio;
use lexopt::prelude::*;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tsbox_core::container::spec::{self, Spec};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys;

struct Options {
    id: String,
    bundle: PathBuf,
    pid_file: Option<PathBuf>,
    console_socket: Option<PathBuf>,
    /// A compiled filter that replaces the spec's profile: an engine compiles it once for many containers. This is a flag and not an
    /// annotation, because annotations may come from a user.
    seccomp_filter: Option<Vec<u8>>,
    detach: bool,
    keep: bool,
}

fn options(parser: &mut lexopt::Parser) -> Result<Options> {
    let mut options = Options {
        id: String::new(),
        bundle: PathBuf::from("."),
        pid_file: None,
        console_socket: None,
        seccomp_filter: None,
        detach: false,
        keep: false,
    };
    while let Some(argument) = next(parser)? {
        match argument {
            Long("bundle") | Short('b') => options.bundle = PathBuf::from(value(parser)?),
            Long("pid-file") => options.pid_file = Some(PathBuf::from(value(parser)?)),
            Long("console-socket") => options.console_socket = Some(PathBuf::from(value(parser)?)),
            Long("seccomp-filter") => {
                let path = value(parser)?;
                options.seccomp_filter = Some(std::fs::read(&path).map_err(|error| Failure::io(&error, "read", Some(&path)))?);
            }
            Long("detach") | Short('d') => options.detach = true,
            Long("keep") => options.keep = true,
            // A container gets three descriptors and no more.
            Long("preserve-fds") => {
                if value(parser)? != "0" {
                    return Err(Failure::new(
                        Code::Unsupported,
                        "--preserve-fds is not supported: a container gets descriptors 0, 1 and 2",
                    ));
                }
            }
            Long("no-new-keyring" | "no-subreaper") => {}
            Long("no-pivot") => {
                return Err(Failure::new(
                    Code::Unsupported,
                    "--no-pivot is not supported: it leaves ways out of the root",
                ));
            }
            Value(word) if options.id.is_empty() => options.id = state::checked_id(&word.to_string_lossy())?,
            other => return Err(unexpected(other)),
        }
    }
    if options.id.is_empty() {
        return Err(Failure::new(Code::InvalidArgument, "a container id is missing"));
    }
    options.bundle =
        std::fs::canonicalize(&options.bundle).map_err(|error| Failure::io(&error, "bundle", Some(&options.bundle.to_string_lossy())))?;
    Ok(options)
}

pub fn create(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let options = options(parser)?;
    let (config, spec) = read_config(&options.bundle)?;
    if spec.process.as_ref().is_some_and(|process| process.terminal) != options.console_socket.is_some() {
        return Err(Failure::new(
            Code::InvalidArgument,
            "process.terminal and --console-socket go together in create",
        ));
    }
    let directory = state::claim(global, &options.id)?;
    let made = (|| {
        let gate = gate::listen(&state::gate(&directory))?;
        begin(global, &options, &spec, config, &directory, Some(&gate)).map(drop)
    })();
    made.inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
    Ok(0)
}

pub fn run(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let options = options(parser)?;
    let (config, spec) = read_config(&options.bundle)?;
    let directory = state::claim(global, &options.id)?;
    let (container, started) =
        begin(global, &options, &spec, config, &directory, None).inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
    let state = hooks::State::new(&spec, &options.id, "running", started.pid, &container.record.bundle);
    run_late(
        "poststart",
        spec.hooks.as_ref().map_or(&[], |hooks| &hooks.poststart),
        &state,
        global,
    );
    if options.detach {
        return Ok(0);
    }
    let code = foreground::serve(started.pid, &started.pidfd, started.console)?;
    if !options.keep {
        dispose(global, &container, &spec)?;
    }
    Ok(code)
}

fn begin(
    global: &Global,
    options: &Options,
    spec: &Spec,
    config: String,
    directory: &Path,
    gate: Option<&OwnedFd>,
) -> Result<(Container, launch::Started)> {
    let root = spec.root.as_ref().map_or("rootfs", |root| root.path.as_str());
    let root = options.bundle.join(root);
    let terminal = spec.process.as_ref().filter(|process| process.terminal);
    let stdio = match terminal {
        Some(process) => {
            let size = process.console_size.unwrap_or_default();
            Stdio::Terminal {
                rows: size.height,
                columns: size.width,
            }
        }
        None => Stdio::Fds([0, 1, 2]),
    };
    let bundle = options.bundle.to_string_lossy().into_owned();
    let launch = Launch {
        id: &options.id,
        spec,
        root: Root::Path(&root),
        stdio,
        seccomp: options.seccomp_filter.as_deref(),
        hold: None,
        bundle: &bundle,
        owns_cgroup: false,
    };
    let (mut started, _) = launch::create(&launch, gate.map(AsFd::as_fd))?;
    warn(global, &started.warnings);
    let cgroup = spec
        .linux
        .as_ref()
        .and_then(|linux| linux.cgroups_path.clone())
        .filter(|path| !path.is_empty());
    let record = Record {
        id: options.id.clone(),
        bundle,
        pid: started.pid,
        start_time: state::start_time(started.pid).unwrap_or(0),
        cgroup: cgroup.unwrap_or_else(|| format!("/{}", options.id)),
        created: state::timestamp(),
        config,
    };
    let container = Container {
        directory: directory.to_owned(),
        record,
    };
    let saved = container.save().and_then(|()| {
        if let Some(socket) = &options.console_socket
            && let Some(console) = started.console.take()
        {
            send_console(socket, &console)?;
        }
        options.pid_file.as_ref().map_or(Ok(()), |file| write_pid(file, started.pid))
    });
    if let Err(failure) = saved {
        let _ = started.cgroup.kill_all(libc::SIGKILL);
        sys::process::reap_by(started.pidfd.as_fd());
        let _ = started.cgroup.remove();
        return Err(failure);
    }
    Ok((container, started))
}

pub fn read_config(bundle: &Path) -> Result<(String, Spec)> {
    let path = bundle.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::io(&error, "read", Some(&path.to_string_lossy())))?;
    let spec = spec::parse(text.as_bytes())?;
    Ok((text, spec))
}

/// Writes a new file and renames it, since engines watch for the file.
pub fn write_pid(file: &Path, pid: i32) -> Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let fresh = file.with_file_name(name);
    std::fs::write(&fresh, pid.to_string())
        .and_then(|()| std::fs::rename(&fresh, file))
        .map_err(|error| Failure::io(&error, "write", Some(&file.to_string_lossy())))
}

pub fn send_console(socket: &Path, console: &OwnedFd) -> Result<()> {
    let stream = UnixStream::connect(socket).map_err(|error| Failure::io(&error, "connect", Some(&socket.to_string_lossy())))?;
    // The bytes of the message are the terminal's name, which no receiver reads.
    crate::channel::send_descriptor(&OwnedFd::from(stream), b"/dev/ptmx", console.as_fd())
}
