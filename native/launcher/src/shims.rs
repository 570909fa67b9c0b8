//! Shims: forked here, or found again by their sockets after an earlier launcher died.

use crate::epoll::Epoll;
use crate::limits;
use std::collections::HashMap;
use std::io::{self, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tsbox_core::peer::protocol::{FromShim, ShimSpawn, ToShim, shim};
use tsbox_core::peer::wire::{Fill, Frame, Reader, Writer};
use tsbox_core::sys::credentials;
use tsbox_core::sys::process::{self, kill};
use tsbox_shim::Config;
use tsbox_shim::status::{self, Unwritten};

/// How often, and after which pause, the kernel is asked how somebody else's child has ended. All else waits meanwhile.
const LOOKS: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub struct Shim {
    pub id: String,
    directory: PathBuf,
    /// The shim's pid. The launcher reaps the shim if it forked it.
    pub pid: Option<i32>,
    /// The container's first process, which becomes a child of the launcher when the shim is killed.
    pub process: Option<i32>,
    /// The shim is dead, but its container is not.
    pub orphaned: bool,
    /// The first process of an orphaned container, if another process is its parent: another runtime's monitor, or the host's init if an
    /// earlier launcher forked the shim.
    foreign: Option<OwnedFd>,
    /// Holds back the process that the shim starts, until a byte is written. If the pipe is closed without a byte, the start fails.
    hold: Option<PipeWriter>,
    socket: UnixStream,
    reader: Reader,
    writer: Writer,
}

/// What the launcher has received from a shim.
pub struct Received {
    pub frames: Vec<Frame>,
    /// Clients whose command ended with these frames, and their exit codes.
    pub answers: Vec<(u32, u8)>,
}

#[derive(Default)]
pub struct Shims {
    all: HashMap<u32, Shim>,
    /// Exit statuses of containers whose shims were killed, for which the state directory has no room.
    unwritten: Vec<Unwritten>,
}

impl Shims {
    /// Forks a shim without exec: this takes 0.15 ms, and the shim shares every page that neither process writes.
    pub fn spawn(&mut self, channel: u32, spawn: &ShimSpawn, epoll: &Epoll, token: u64) -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        // SAFETY: the launcher has one thread, so the child may do anything; it never returns from `become_shim`.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pid == 0 {
            become_shim(spawn, theirs);
        }
        drop(theirs);
        ours.set_nonblocking(true)?;
        self.add(channel, spawn, ours, Some(pid), epoll, token)
    }

    /// Connects to the socket of a running shim; NotFound or ConnectionRefused if no shim listens.
    pub fn connect(&mut self, channel: u32, spawn: &ShimSpawn, epoll: &Epoll, token: u64) -> io::Result<()> {
        let folder = std::fs::File::open(&spawn.directory)?;
        let socket = UnixStream::connect(format!("/proc/self/fd/{}/shim.sock", folder.as_raw_fd()))?;
        socket.set_nonblocking(true)?;
        self.add(channel, spawn, socket, None, epoll, token)?;
        if let Some(shim) = self.all.get_mut(&channel) {
            shim.writer.json(shim::MESSAGE, 0, &ToShim::Control);
        }
        self.flush(channel, epoll, token);
        Ok(())
    }

    fn add(&mut self, channel: u32, spawn: &ShimSpawn, socket: UnixStream, pid: Option<i32>, epoll: &Epoll, token: u64) -> io::Result<()> {
        epoll.add(socket.as_raw_fd(), token)?;
        let shim = Shim {
            id: spawn.id.clone(),
            directory: spawn.directory.clone().into(),
            pid,
            process: None,
            orphaned: false,
            foreign: None,
            hold: None,
            socket,
            reader: Reader::default(),
            writer: Writer::default(),
        };
        self.all.insert(channel, shim);
        Ok(())
    }

    /// Returns the messages of a shim and records the pid of its container; None when the shim has closed the connection.
    pub fn receive(&mut self, channel: u32) -> Option<Received> {
        let shim = self.all.get_mut(&channel)?;
        let (mut frames, mut answers) = (Vec::new(), Vec::new());
        let mut end = shim.reader.fill(&shim.socket).map_or(true, |fill| fill == Fill::End);
        loop {
            let frame = match shim.reader.take() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    crate::say!(
                        "tsbox: the shim of {} is disconnected, since it does not speak the protocol: {error}",
                        shim.id
                    );
                    (end, frames) = (true, Vec::new());
                    break;
                }
            };
            match serde_json::from_slice(&frame.payload) {
                Ok(FromShim::Started { pid, .. }) => shim.process = Some(pid),
                Ok(FromShim::State {
                    shim: own, pid, exited, ..
                }) => {
                    shim.pid = Some(own);
                    shim.process = pid.filter(|_| exited.is_none());
                }
                Ok(FromShim::Exited { .. }) => shim.process = None,
                Ok(FromShim::Flushed { client, code: Some(code) }) => answers.push((client, code as u8)),
                _ => {}
            }
            frames.push(frame);
        }
        if end && frames.is_empty() {
            None
        } else {
            Some(Received { frames, answers })
        }
    }

    pub fn send(&mut self, channel: u32, kind: u8, payload: &[u8], fds: Vec<OwnedFd>, epoll: &Epoll, token: u64) -> bool {
        let Some(shim) = self.all.get_mut(&channel) else { return false };
        shim.writer.push(kind, 0, payload, fds);
        self.flush(channel, epoll, token);
        true
    }

    /// Kills a container's shim. The launcher then reaps the container's first process.
    pub fn kill(&mut self, id: &str, process: i32) {
        for shim in self.all.values_mut().filter(|shim| shim.id == id && !shim.orphaned) {
            shim.process = Some(process);
            if let Some(pid) = shim.pid.or_else(|| peer(&shim.socket)) {
                // The pid is a child that is not reaped, or the process that listens on that shim's socket.
                let _ = kill(pid, libc::SIGKILL);
            }
        }
    }

    /// Makes the pipe that holds back a start, and returns its reading end.
    pub fn hold(&mut self, channel: u32) -> io::Result<OwnedFd> {
        let (reading, writing) = io::pipe()?;
        if let Some(shim) = self.all.get_mut(&channel) {
            shim.hold = Some(writing);
        }
        Ok(reading.into())
    }

    pub fn release(&mut self, channel: u32, goes_on: bool) {
        let hold = self.all.get_mut(&channel).and_then(|shim| shim.hold.take());
        if let Some(mut hold) = hold.filter(|_| goes_on) {
            // The process that waits may be dead.
            let _ = hold.write_all(&[1]);
        }
    }

    /// Cancels all starts that wait: no daemon is left that could release them.
    pub fn give_up_held(&mut self) {
        self.all.values_mut().for_each(|shim| shim.hold = None);
    }

    pub fn flush(&mut self, channel: u32, epoll: &Epoll, token: u64) {
        if let Some(shim) = self.all.get_mut(&channel) {
            let socket = shim.socket.as_raw_fd();
            // If the shim is gone, the launcher notices it when it reads from the connection.
            let empty = shim.writer.flush(&shim.socket).unwrap_or(true);
            epoll.watch(socket, token, !empty);
        }
    }

    /// Handles the end of a shim's connection. Returns whether the shim was killed, which is so if its container had not ended.
    /// `token`: for the end of a first process that is not a child of this one.
    pub fn closed(&mut self, channel: u32, epoll: &Epoll, token: u64) -> bool {
        let Some(shim) = self.all.get_mut(&channel) else { return false };
        epoll.remove(shim.socket.as_raw_fd());
        shim.orphaned = shim.process.is_some();
        let process = shim.process.and_then(|pid| process::open(pid).ok());
        shim.foreign = process.filter(|pidfd| !process::is_child(pidfd.as_fd()));
        if let Some(pidfd) = &shim.foreign {
            let _ = epoll.add(pidfd.as_raw_fd(), token);
        }
        let killed = shim.orphaned;
        if !killed {
            self.all.remove(&channel);
        }
        killed
    }

    /// Handles the death of a child. If it is the first process of a container whose shim was killed, writes its exit status to disk as the
    /// shim would have done.
    pub fn reaped(&mut self, pid: i32, wait: i32) -> Option<(u32, FromShim)> {
        let channel = self
            .all
            .iter()
            .find(|(_, shim)| shim.process == Some(pid))
            .map(|(channel, _)| *channel)?;
        let shim = self.all.remove(&channel)?;
        let exit = status::exit(wait, false);
        self.unwritten.extend(status::keep(&shim.directory, &exit));
        Some((channel, FromShim::Exited { pid, status: exit }))
    }

    /// Handles the end of such a process. Its exit status is known if its parent has reaped it, and the kernel tells.
    pub fn orphan_ended(&mut self, channel: u32, epoll: &Epoll) -> Option<FromShim> {
        let shim = self.all.remove(&channel)?;
        let pidfd = shim.foreign?;
        epoll.remove(pidfd.as_raw_fd());
        let state = (0..LOOKS).find_map(|look| {
            if look > 0 {
                std::thread::sleep(LOOK_EVERY);
            }
            process::exit_of_any(pidfd.as_fd())
        });
        let exit = state.map_or_else(|| status::unknown(false), |state| status::exit(state, false));
        self.unwritten.extend(status::keep(&shim.directory, &exit));
        Some(FromShim::Exited {
            pid: shim.process.unwrap_or_default(),
            status: exit,
        })
    }

    /// Retries the writes on every event, since there may be room by now.
    pub fn write_again(&mut self) {
        self.unwritten.retain(|end| !end.try_again());
    }

    /// The shims that are connected.
    pub fn list(&self) -> Vec<(String, u32)> {
        self.all
            .iter()
            .filter(|(_, shim)| !shim.orphaned)
            .map(|(channel, shim)| (shim.id.clone(), *channel))
            .collect()
    }
}

/// The process that listens at the other end of a connection.
fn peer(socket: &UnixStream) -> Option<i32> {
    let peer = credentials::of(socket).ok()?;
    Some(peer.pid).filter(|pid| *pid > 1)
}

/// Continues as a shim in the fork. Of the launcher's descriptors only the control socket stays open, as descriptor 3.
fn become_shim(spawn: &ShimSpawn, control: UnixStream) -> ! {
    limits::restore();
    let control = control.into_raw_fd();
    // SAFETY: the process was just forked and has one thread. Values of the launcher that own these descriptors are never used or dropped
    // again, since this function does not return and `_exit` runs no destructors.
    let control = unsafe {
        if control != 3 {
            libc::dup3(control, 3, libc::O_CLOEXEC);
        }
        libc::syscall(libc::SYS_close_range, 4, libc::c_uint::MAX, 0);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for fd in 0..3 {
            libc::dup2(null, fd);
        }
        libc::close(null);
        OwnedFd::from_raw_fd(3)
    };
    let config = || Config {
        id: spawn.id.clone(),
        directory: Path::new(&spawn.directory).to_owned(),
        control,
        network: spawn.network,
        id_maps: spawn.id_maps.clone(),
    };
    // SAFETY: no caller goes on after this, and no static of this program holds on to the heap.
    tsbox_shim::run(unsafe { tsbox_shim::heap::begin_anew(config) })
}
