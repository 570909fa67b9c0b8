//! Events of clients: connections, requests, signals, disconnections.

use crate::clients::After;
use crate::launcher::Launcher;
use crate::token::{Kind, token};
use std::io;
use std::os::fd::AsRawFd;
use tsbox_core::peer::address::Address;
use tsbox_core::peer::protocol::{ClientHello, ClientOpened, VERSION, client, daemon};
use tsbox_core::peer::wire::Frame;

/// Signals that end a command.
const ENDING: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

/// The decision about a client, by its hello.
#[derive(Debug)]
enum Hello {
    Serve(Box<ClientHello>),
    /// The client has another engine's address, which it must reach over HTTP.
    Elsewhere,
    Refuse(&'static str),
}

/// `own`: the address of this engine's HTTP socket.
fn judge(payload: &[u8], own: Option<Address>) -> Hello {
    let Ok(mut hello) = serde_json::from_slice::<Box<ClientHello>>(payload) else {
        return Hello::Refuse("this client and the engine do not understand one another: install tsbox again");
    };
    if hello.version != VERSION {
        return Hello::Refuse("the engine that runs is of another version than this client: stop it with `tsbox daemon stop`");
    }
    if hello.address.is_some() && hello.address != own {
        return Hello::Elsewhere;
    }
    hello.address = None;
    Hello::Serve(hello)
}

/// The exit code of a client that a signal ends, as a shell reports it. None: the signal does not end it. The signals of `run` and `attach`
/// are proxied to the container, unless the user asked for `--sig-proxy=false`.
fn ends_with(signal: u8, proxied: bool) -> Option<u8> {
    (ENDING.contains(&i32::from(signal)) && !proxied).then(|| 128 + signal)
}

impl Launcher {
    pub(crate) fn accept(&mut self) {
        loop {
            match self.sockets.clients.accept() {
                Ok((socket, _)) => {
                    let _ = self.clients.accept(socket, &self.epoll, |number| token(Kind::Client, number));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
                // No descriptor is free (EMFILE, ENFILE): new clients wait until another event has been handled.
                Err(_) => {
                    self.epoll.remove(self.sockets.clients.as_raw_fd());
                    self.accept_paused = true;
                    return;
                }
            }
        }
    }

    /// Accepts new clients again after a pause.
    pub(crate) fn listen_again(&mut self) {
        if std::mem::take(&mut self.accept_paused) {
            let _ = self.epoll.add(self.sockets.clients.as_raw_fd(), token(Kind::Listener, 0));
        }
    }

    pub(crate) fn receive_from_client(&mut self, number: u32) {
        let after = self.clients.flush(number, &self.epoll, token(Kind::Client, number));
        self.after(number, after);
        let Some(frames) = self.clients.receive(number) else {
            if self.clients.get(number).is_some() {
                self.clients.remove(number, &self.epoll);
                self.daemon.writer.push(daemon::CLIENT_GONE, number, &[0], Vec::new());
            }
            return;
        };
        for frame in frames {
            match frame.kind {
                client::HELLO => self.hello(number, frame),
                client::SIGNAL => {
                    self.daemon.writer.push(daemon::CLIENT_SIGNAL, number, &frame.payload, Vec::new());
                    self.end_by_signal(number, &frame.payload);
                }
                client::LOGINS_FOUND => {
                    let mut found = frame.payload;
                    self.daemon.writer.push(daemon::CLIENT_LOGINS_FOUND, number, &found, Vec::new());
                    // Erase the logins: every shim is a fork of this process.
                    found.fill(0);
                    std::hint::black_box(&found);
                }
                client::RESIZED => drop(self.daemon.writer.push(daemon::CLIENT_RESIZED, number, &frame.payload, Vec::new())),
                _ => {}
            }
        }
    }

    /// A signal ends a waiting client, whatever state the daemon is in.
    fn end_by_signal(&mut self, number: u32, payload: &[u8]) {
        let (Some(signal), Some(client)) = (payload.first(), self.clients.get(number)) else {
            return;
        };
        if let Some(code) = ends_with(*signal, client.signals_proxied) {
            self.send_client(number, client::EXIT, &[code]);
        }
    }

    fn hello(&mut self, number: u32, frame: Frame) {
        let hello = match judge(&frame.payload, self.sockets.address) {
            Hello::Serve(hello) => hello,
            Hello::Elsewhere => return self.send_client(number, client::LOCAL, &[]),
            Hello::Refuse(why) => return self.report_and_end(number, why),
        };
        let credentials = self.clients.credentials(number);
        let opened = ClientOpened {
            hello: *hello,
            uid: credentials.uid,
            gid: credentials.gid,
            pid: credentials.pid,
            at: tsbox_shim::status::now(),
            bound: None,
        };
        let words = serde_json::to_vec(&opened).unwrap_or_default();
        let Some(client) = self.clients.get(number) else { return };
        client.stdio = frame.fds;
        if self.daemon.ready {
            self.daemon.writer.push(daemon::CLIENT_OPENED, number, &words, Vec::new());
        }
        client.opened = Some(words);
    }

    /// Writes one line to the client's standard error, and ends it with the exit code of a command that the engine could not run.
    pub(crate) fn report_and_end(&mut self, number: u32, why: &str) {
        self.send_client(number, client::STDERR, format!("tsbox: {why}\n").as_bytes());
        self.send_client(number, client::EXIT, &[125]);
    }

    pub(crate) fn send_client(&mut self, number: u32, kind: u8, payload: &[u8]) {
        let after = self.clients.send(number, kind, payload, &self.epoll, token(Kind::Client, number));
        self.after(number, after);
    }

    fn after(&mut self, number: u32, after: After) {
        match after {
            After::Going => {}
            After::Drained => drop(self.daemon.writer.push(daemon::CLIENT_DRAINED, number, &[], Vec::new())),
            After::Ended => {
                self.clients.remove(number, &self.epoll);
                self.daemon.writer.push(daemon::CLIENT_GONE, number, &[1], Vec::new());
            }
            // When its socket fires, the launcher reads the client's end and reports it to the daemon.
            After::Gone => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(version: u32, address: Option<Address>) -> Vec<u8> {
        let hello = ClientHello {
            version,
            argv: vec!["ps".to_owned()],
            env: Vec::new(),
            cwd: "/".to_owned(),
            terminals: [false; 3],
            size: None,
            detach_keys: None,
            address,
        };
        serde_json::to_vec(&hello).unwrap()
    }

    #[test]
    fn a_client_is_served_by_the_engine_that_it_named() {
        let address = |inode| Some(Address { device: 1, inode });
        assert!(matches!(judge(&hello(VERSION, None), address(2)), Hello::Serve(_)));
        assert!(matches!(judge(&hello(VERSION, address(2)), address(2)), Hello::Serve(hello) if hello.address.is_none()));
        assert!(matches!(judge(&hello(VERSION, address(3)), address(2)), Hello::Elsewhere));
        assert!(matches!(judge(&hello(VERSION, address(3)), None), Hello::Elsewhere));
    }

    #[test]
    fn a_client_of_another_version_is_refused() {
        let Hello::Refuse(why) = judge(&hello(VERSION + 1, None), None) else {
            panic!("served")
        };
        assert!(why.contains("another version"), "{why}");
        assert!(matches!(judge(b"GET / HTTP/1.1", None), Hello::Refuse(_)));
    }

    #[test]
    fn a_signal_ends_a_client_unless_it_is_the_containers() {
        assert_eq!(ends_with(libc::SIGINT as u8, false), Some(130));
        assert_eq!(ends_with(libc::SIGTERM as u8, true), None);
        assert_eq!(ends_with(libc::SIGWINCH as u8, false), None);
    }
}
