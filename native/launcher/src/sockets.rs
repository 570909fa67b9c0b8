//! What the launcher listens on, and the lock that makes it the only one.

use crate::options::Options;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

pub struct Sockets {
    pub clients: UnixListener,
    pub http: UnixListener,
    /// Held as long as the launcher lives; its content is the launcher's pid.
    _lock: File,
}

pub fn launcher_socket(options: &Options) -> PathBuf {
    options.host.with_file_name("launcher.sock")
}

pub fn open(options: &Options) -> Result<Sockets, String> {
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| format!("can't use {path}: {error}")
    };
    for folder in [
        &options.state,
        &options.root,
        &options.host.parent().unwrap_or(Path::new("/")).to_owned(),
    ] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(folder)
            .map_err(at(folder))?;
    }
    let path = options.state.join("launcher.pid");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o644)
        .open(&path)
        .map_err(at(&path))?;
    // SAFETY: a descriptor that is open.
    if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        return Err(format!(
            "an engine runs in {} already: use it, or give another --state",
            options.state.display()
        ));
    }
    lock.set_len(0).map_err(at(&path))?;
    fs::write(&path, std::process::id().to_string()).map_err(at(&path))?;
    let clients = launcher_socket(options);
    Ok(Sockets {
        http: listen(&options.host).map_err(at(&options.host))?,
        clients: listen(&clients).map_err(at(&clients))?,
        _lock: lock,
    })
}

/// Root and, where it exists, the group tsbox: who may connect may do all that root may.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // SAFETY: the socket is never open to more than it should be, not even for a moment.
    let before = unsafe { libc::umask(0o177) };
    let listener = UnixListener::bind(path);
    unsafe { libc::umask(before) };
    let listener = listener?;
    if let Some(group) = group("tsbox") {
        chown(path, None, Some(group))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn group(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// `tsbox daemon stop`: ends launcher and daemon, and waits for it. Containers go on.
pub fn stop(options: &Options) -> Result<(), String> {
    let none = || format!("no engine runs in {}", options.state.display());
    let pid: i32 = fs::read_to_string(options.state.join("launcher.pid"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(none)?;
    let mut stream = UnixStream::connect(launcher_socket(options)).map_err(|_| none())?;
    // SAFETY: the launcher of this very state directory: it listens.
    if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
        return Err(format!("can't stop the engine (process {pid}): {}", io::Error::last_os_error()));
    }
    // The connection ends with the launcher.
    let _ = stream.read_to_end(&mut Vec::new());
    Ok(())
}
