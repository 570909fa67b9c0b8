//! The launcher's sockets, and the lock that keeps a second launcher out.
//!
//! Clients connect to `launcher.sock` in the state directory. Next to the HTTP socket `X.sock` is a link to it, `X.launcher.sock`, for
//! clients that know only the HTTP address. Such a client sends the [`Address`] of the HTTP socket that it was given. If the engine listens
//! on another one, it answers that the client must use that socket instead. So an outdated link leads no client to the wrong engine.

use crate::options::Options;
use rustix::fs::{FlockOperation, Mode, flock};
use rustix::process::umask;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tsbox_core::peer::address::{self, Address};
use tsbox_core::sys::lock;

/// How long an engine waits for another one that makes its socket in the same folder, which takes a moment.
const OTHER_ENGINE: Duration = Duration::from_secs(10);

pub struct Sockets {
    pub clients: UnixListener,
    pub http: UnixListener,
    /// The address of the HTTP socket.
    pub address: Option<Address>,
    /// The files that this launcher made, each with its address at that time.
    made: Vec<(PathBuf, Option<Address>)>,
    /// The lock on `launcher.pid`, held as long as the launcher lives. The file contains the launcher's pid and only root can read it.
    _lock: File,
}

impl Sockets {
    /// Removes the files that this launcher made, unless another process has replaced them.
    pub fn remove(&self) {
        for (path, made) in self.made.iter().rev() {
            if made.is_some() && address::of(path) == *made {
                let _ = fs::remove_file(path);
            }
        }
    }
}

pub fn open(options: &Options) -> Result<Sockets, String> {
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| format!("can't use {path}: {error}")
    };
    let beside = options.host.parent().unwrap_or(Path::new("/")).to_owned();
    // Clients of the group tsbox must pass through the directories of the sockets. Only root may enter the root directory.
    for (folder, mode) in [(&options.state, 0o711), (&options.root, 0o700), (&beside, 0o711)] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(folder)
            .map_err(at(folder))?;
    }
    let path = options.state.join("launcher.pid");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path))?;
    // A process that may read a file may lock it. An older engine made this file readable for all.
    lock.set_permissions(fs::Permissions::from_mode(0o600)).map_err(at(&path))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(format!(
            "an engine runs in {} already: use it, or give another --state",
            options.state.display()
        ));
    }
    lock.set_len(0).map_err(at(&path))?;
    fs::write(&path, std::process::id().to_string()).map_err(at(&path))?;
    let mut made = vec![(path.clone(), address::of(&path))];
    let http = listen(&options.host, OTHER_ENGINE)?;
    let address = address::of(&options.host);
    made.push((options.host.clone(), address));
    let own = options.state.join(address::LAUNCHER);
    let clients = listen(&own, OTHER_ENGINE)?;
    made.push((own.clone(), address::of(&own)));
    let link = address::link(&options.host);
    set_link(&own, &link).map_err(at(&link))?;
    made.push((link.clone(), address::of(&link)));
    Ok(Sockets {
        http,
        clients,
        address,
        made,
        _lock: lock,
    })
}

/// Replaces a link or a socket, never another kind of file.
fn set_link(to: &Path, link: &Path) -> io::Result<()> {
    match fs::symlink_metadata(link) {
        Ok(there) if !there.is_symlink() && !there.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there, and is no link"));
        }
        Ok(_) => fs::remove_file(link)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    symlink(to, link)
}

/// Listens on a socket for root and, if it exists, the group tsbox. A user who may connect can do everything that root can. Replaces a
/// socket that has no listener, but no other file.
fn listen(path: &Path, lock_timeout: Duration) -> Result<UnixListener, String> {
    let failed = |error: io::Error| format!("can't listen on {}: {error}", path.display());
    let (folder, short) = address::through_folder(path).map_err(failed)?;
    // Two engines that start at once must not take each other's socket for a stale one. A process that may read the folder may lock it and
    // keep the lock, so the wait has a timeout.
    let within = path.parent().unwrap_or(Path::new("/"));
    lock::exclusive(&folder, within, lock_timeout).map_err(failed)?;
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(format!("can't listen on {}: it is there, and is no socket", path.display()));
        }
        Ok(_) if stale(path) => fs::remove_file(path).map_err(failed)?,
        Ok(_) => {
            return Err(format!(
                "somebody listens on {} already: use that engine, or give another --host",
                path.display()
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // The umask keeps the socket closed to other users at every moment.
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(&short);
    umask(before);
    let listener = listener.map_err(failed)?;
    open_to_group(path).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Whether a socket has no listener any more. The sockets of a killed process close shortly after its death.
fn stale(path: &Path) -> bool {
    for _ in 0..10 {
        match address::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return true,
            // A full queue means that there is a listener, too.
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    false
}

fn open_to_group(path: &Path) -> io::Result<()> {
    if let Some(group) = group("tsbox") {
        chown(path, None, Some(group))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    }
    Ok(())
}

fn group(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_folder_that_another_process_keeps_locked_is_an_error() {
        let folder = std::env::temp_dir().join(format!("tsbox-sockets-locked-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let stranger = File::open(&folder).unwrap();
        lock::exclusive(&stranger, &folder, Duration::ZERO).unwrap();
        let why = listen(&folder.join("x.sock"), Duration::from_millis(20)).unwrap_err();
        assert!(why.contains("has kept the lock on"), "{why}");
        drop(stranger);
        listen(&folder.join("x.sock"), Duration::ZERO).unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_socket_is_replaced_only_without_a_listener() {
        let folder = std::env::temp_dir()
            .join(format!("tsbox-sockets-{}", std::process::id()))
            .join("long/".repeat(40));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("x.sock");
        let first = listen(&path, OTHER_ENGINE).unwrap();
        assert!(listen(&path, OTHER_ENGINE).unwrap_err().contains("somebody listens"));
        drop(first);
        let second = listen(&path, OTHER_ENGINE).unwrap();
        assert!(address::connect(&path).is_ok());
        drop(second);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(listen(&path, OTHER_ENGINE).unwrap_err().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert!(UnixStream::connect(&path).is_err());
        fs::remove_dir_all(std::env::temp_dir().join(format!("tsbox-sockets-{}", std::process::id()))).unwrap();
    }
}
