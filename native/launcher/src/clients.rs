//! Local clients: their connections, their descriptors, and the bytes that are queued for them.

use crate::epoll::Epoll;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use tsbox_core::peer::protocol::client;
use tsbox_core::peer::wire::{Fill, Frame, Reader, Writer};
use tsbox_core::sys::credentials;

pub struct Client {
    socket: UnixStream,
    reader: Reader,
    writer: Writer,
    /// The client's descriptors 0, 1, 2, once its hello has arrived.
    pub stdio: Vec<OwnedFd>,
    /// A word from the daemon. If the daemon dies, the launcher passes the word to the next one, which goes on with what the client waits
    /// for.
    pub bound: Option<String>,
    /// The client's signals are proxied to a container, so they don't end it.
    pub signals_proxied: bool,
    /// The hello, kept until a daemon has taken it.
    pub opened: Option<Vec<u8>>,
    /// The exit code is queued, and nothing follows it.
    pub ending: bool,
    /// The daemon waits for the notice that the client has taken the bytes that were written.
    pub awaits_drain: bool,
}

impl Client {
    pub fn new(socket: UnixStream) -> Client {
        Client {
            socket,
            reader: Reader::default(),
            writer: Writer::default(),
            stdio: Vec::new(),
            bound: None,
            signals_proxied: false,
            opened: None,
            ending: false,
            awaits_drain: false,
        }
    }

    /// Erases the hello: an environment may hold secrets, and every shim is a fork of this process.
    pub fn erase_hello(&mut self) {
        if let Some(mut words) = self.opened.take() {
            words.fill(0);
        }
    }
}

/// A client with fewer queued bytes than this is reported as drained.
const LOW: usize = 64 << 10;

#[derive(Default)]
pub struct Clients {
    all: HashMap<u32, Client>,
    next: u32,
}

impl Clients {
    pub fn accept(&mut self, socket: UnixStream, epoll: &Epoll, token: impl Fn(u32) -> u64) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        self.next += 1;
        epoll.add(socket.as_raw_fd(), token(self.next))?;
        self.all.insert(self.next, Client::new(socket));
        Ok(())
    }

    pub fn get(&mut self, id: u32) -> Option<&mut Client> {
        self.all.get_mut(&id)
    }

    pub fn each(&mut self) -> impl Iterator<Item = (u32, &mut Client)> {
        self.all.iter_mut().map(|(id, client)| (*id, client))
    }

    /// Removes a client and closes its descriptors.
    pub fn remove(&mut self, id: u32, epoll: &Epoll) {
        if let Some(client) = self.all.remove(&id) {
            epoll.remove(client.socket.as_raw_fd());
        }
    }

    /// The frames that came from a client; None when it is gone.
    pub fn receive(&mut self, id: u32) -> Option<Vec<Frame>> {
        let client = self.all.get_mut(&id)?;
        let mut frames = Vec::new();
        let mut end = client.reader.fill(&client.socket).map_or(true, |fill| fill == Fill::End);
        loop {
            match client.reader.take() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    crate::say!("tsbox: a client is disconnected, since it does not speak the protocol: {error}");
                    (end, frames) = (true, Vec::new());
                    break;
                }
            }
        }
        if end && frames.is_empty() { None } else { Some(frames) }
    }

    pub fn send(&mut self, id: u32, kind: u8, payload: &[u8], epoll: &Epoll, token: u64) -> After {
        let Some(client) = self.all.get_mut(&id) else { return After::Gone };
        client.writer.push(kind, 0, payload, Vec::new());
        client.ending |= kind == client::EXIT || kind == client::LOCAL;
        self.flush(id, epoll, token)
    }

    pub fn flush(&mut self, id: u32, epoll: &Epoll, token: u64) -> After {
        let Some(client) = self.all.get_mut(&id) else { return After::Gone };
        let socket = client.socket.as_raw_fd();
        match client.writer.flush(&client.socket) {
            Err(_) => return After::Gone,
            Ok(empty) => epoll.watch(socket, token, !empty),
        }
        let left = client.writer.pending();
        if client.ending && left == 0 {
            After::Ended
        } else if client.awaits_drain && left < LOW {
            client.awaits_drain = false;
            After::Drained
        } else {
            After::Going
        }
    }

    /// Process, user and group of the peer. For a client that is gone the ids name no user.
    pub fn credentials(&self, id: u32) -> libc::ucred {
        let found = self.all.get(&id).and_then(|client| credentials::of(&client.socket).ok());
        found.unwrap_or(libc::ucred {
            pid: 0,
            uid: u32::MAX,
            gid: u32::MAX,
        })
    }
}

/// The state of a client after something was sent to it.
#[derive(PartialEq, Eq)]
pub enum After {
    Going,
    Drained,
    Ended,
    Gone,
}
