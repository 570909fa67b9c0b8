//! The first messages to the daemon, and its requests.

use crate::clients::Client;
use crate::force;
use crate::helpers;
use crate::launcher::Launcher;
use crate::token::{Kind, token};
use tsbox_core::peer::protocol::{ClientHello, ClientOpened, DaemonHello, Ran, Run, Signal, Signalled, VERSION, client, daemon};
use tsbox_core::peer::unit;
use tsbox_core::peer::wire::{Fill, Frame};
use tsbox_core::sys::process::kill;

/// The state of a client when a new daemon is ready.
#[derive(Debug, PartialEq, Eq)]
enum ClientState<'a> {
    /// No daemon has begun its command. The new daemon gets this hello.
    Waiting(&'a [u8]),
    /// The client waits for something that the word names. The new daemon goes on with it.
    Bound(&'a str),
    /// The previous daemon has begun the command and died.
    Lost,
    /// The exit code is queued, or the hello has not arrived yet. Nothing to do.
    Idle,
}

fn state_of(client: &Client) -> ClientState<'_> {
    match (&client.opened, &client.bound) {
        (Some(words), _) => ClientState::Waiting(words),
        _ if client.ending => ClientState::Idle,
        (None, Some(word)) => ClientState::Bound(word),
        (None, None) if !client.stdio.is_empty() => ClientState::Lost,
        _ => ClientState::Idle,
    }
}

/// The message that announces a client of an earlier daemon to the new one.
fn bound_again(word: &str) -> ClientOpened {
    ClientOpened {
        hello: ClientHello {
            version: VERSION,
            argv: Vec::new(),
            env: Vec::new(),
            cwd: "/".to_owned(),
            terminals: [false; 3],
            size: None,
            detach_keys: None,
            address: None,
        },
        uid: 0,
        gid: 0,
        pid: 0,
        at: tsbox_shim::status::now(),
        bound: Some(word.to_owned()),
    }
}

impl Launcher {
    /// Sends the first frame to a daemon, before its plugins start: the daemon must know which shims are connected already.
    pub(crate) fn greet(&mut self) {
        let hello = DaemonHello {
            version: VERSION,
            pid: std::process::id() as i32,
            shims: self.shims.list(),
        };
        self.daemon.writer.json(daemon::HELLO, 0, &hello);
        self.flush_daemon();
    }

    pub(crate) fn receive_from_daemon(&mut self) {
        let fd = self.daemon.fd();
        if !self.daemon.reader.fill(&self.daemon.socket).is_ok_and(|fill| fill != Fill::End) {
            // SIGCHLD reports the daemon's death. Until then there is nothing to read.
            self.epoll.remove(fd);
            return;
        }
        loop {
            match self.daemon.reader.take() {
                Ok(Some(frame)) => self.handle(frame),
                Ok(None) => return,
                Err(error) => {
                    // The daemon's successor finds all state again.
                    crate::say!("tsbox: the daemon is ended, since it does not speak the protocol: {error}");
                    self.epoll.remove(fd);
                    // A child that is not reaped keeps its pid.
                    let _ = kill(self.daemon.pid, libc::SIGKILL);
                    return;
                }
            }
        }
    }

    fn handle(&mut self, frame: Frame) {
        let channel = frame.channel;
        match frame.kind {
            daemon::READY => self.daemon_is_ready(),
            daemon::FATAL => self.fatal = Some(String::from_utf8_lossy(&frame.payload).into_owned()),
            daemon::CLIENT_TAKEN => {
                if let Some(client) = self.clients.get(channel) {
                    client.erase_hello();
                }
            }
            daemon::CLIENT_WRITE => {
                let Some((descriptor, bytes)) = frame.payload.split_first() else {
                    return;
                };
                if let Some(client) = self.clients.get(channel) {
                    client.awaits_drain = true;
                }
                self.send_client(channel, if *descriptor == 2 { client::STDERR } else { client::STDOUT }, bytes);
            }
            daemon::CLIENT_EXIT => {
                self.daemon.served = true;
                self.send_client(channel, client::EXIT, &frame.payload);
            }
            daemon::CLIENT_LOCAL => self.send_client(channel, client::LOCAL, &[]),
            daemon::CLIENT_LOGINS => self.send_client(channel, client::LOGINS, &frame.payload),
            daemon::CLIENT_RAW => self.send_client(channel, client::RAW, &frame.payload),
            daemon::CLIENT_BIND => {
                if let (Some(client), Some((proxied, word))) = (self.clients.get(channel), frame.payload.split_first()) {
                    client.signals_proxied = *proxied == 1;
                    client.bound = Some(String::from_utf8_lossy(word).into_owned());
                }
            }
            daemon::SHIM_SPAWN | daemon::SHIM_CONNECT => self.shim(frame),
            daemon::TO_SHIM => self.pass_on(channel, &frame.payload),
            daemon::SHIM_RELEASE => self.shims.release(channel, frame.payload.first() == Some(&1)),
            daemon::RUN => self.run(channel, &frame.payload),
            daemon::RUN_CANCEL => self.helpers.cancel(channel),
            daemon::SHUTDOWN => self.shut_down(),
            daemon::SIGNAL => self.signal(channel, &frame.payload),
            _ => {}
        }
    }

    fn daemon_is_ready(&mut self) {
        self.daemon.ready = true;
        // Only the service manager waits for this message.
        let _ = unit::notify("READY=1");
        self.restarts.is_up();
        let mut lost = Vec::new();
        for (number, client) in self.clients.each() {
            match state_of(client) {
                ClientState::Waiting(words) => drop(self.daemon.writer.push(daemon::CLIENT_OPENED, number, words, Vec::new())),
                ClientState::Bound(word) => drop(self.daemon.writer.json(daemon::CLIENT_OPENED, number, &bound_again(word))),
                ClientState::Lost => lost.push(number),
                ClientState::Idle => {}
            }
        }
        for number in lost {
            self.report_and_end(
                number,
                "the daemon died in the middle of this command and was started again: look what it did, then repeat it",
            );
        }
    }

    fn signal(&mut self, channel: u32, payload: &[u8]) {
        let Ok(wanted) = serde_json::from_slice::<Signal>(payload) else {
            return;
        };
        let failure = force::signal(&wanted).err();
        if failure.is_none() && wanted.signal == libc::SIGKILL {
            self.shims.kill(&wanted.id, wanted.pid);
        }
        self.daemon.writer.json(daemon::SIGNALLED, channel, &Signalled { failure });
    }

    fn run(&mut self, channel: u32, payload: &[u8]) {
        let Ok(run) = serde_json::from_slice::<Run>(payload) else { return };
        let tokens = [token(Kind::HelperOutput, channel), token(Kind::HelperErrors, channel)];
        if let Err(error) = self.helpers.start(channel, &run, &self.epoll, tokens) {
            let failure = format!("can't run {}: {error}", run.argv.first().map_or("nothing", String::as_str));
            let answer = helpers::answer(
                &Ran {
                    code: 127,
                    stdout: 0,
                    failure: Some(failure),
                },
                &[],
                &[],
            );
            self.daemon.writer.push(daemon::RAN, channel, &answer, Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_new_daemon_gets_the_clients_that_it_can_serve() {
        let mut client = Client::new(UnixStream::pair().unwrap().0);
        assert_eq!(state_of(&client), ClientState::Idle);
        client.stdio.push(UnixStream::pair().unwrap().0.into());
        client.opened = Some(b"{}".to_vec());
        assert_eq!(state_of(&client), ClientState::Waiting(b"{}"));
        client.opened = None;
        assert_eq!(state_of(&client), ClientState::Lost);
        client.bound = Some("container x".to_owned());
        assert_eq!(state_of(&client), ClientState::Bound("container x"));
        client.ending = true;
        assert_eq!(state_of(&client), ClientState::Idle);
    }
}
