//! The daemon's messages to shims, and events of shims.

use crate::launcher::Launcher;
use crate::token::{Kind, token};
use std::io;
use std::os::fd::OwnedFd;
use tsbox_core::failure::{Code, Failure};
use tsbox_core::peer::protocol::{FromShim, ShimGone, ShimSpawn, ToShim, client, daemon, shim};
use tsbox_core::peer::wire::Frame;

/// A message of the daemon to a shim ([`daemon::TO_SHIM`]).
#[derive(Debug, PartialEq, Eq)]
struct Outgoing<'a> {
    /// The client whose descriptors are sent along; 0: no client.
    client: u32,
    /// Which of its descriptors are sent: bits 1, 2 and 4 for descriptors 0, 1 and 2.
    wanted: u8,
    kind: u8,
    message: &'a [u8],
}

impl Outgoing<'_> {
    fn of(payload: &[u8]) -> Option<Outgoing<'_>> {
        let (head, message) = payload.split_first_chunk::<6>()?;
        let [a, b, c, d, wanted, kind] = *head;
        Some(Outgoing {
            client: u32::from_le_bytes([a, b, c, d]),
            wanted,
            kind,
            message,
        })
    }

    fn lends(&self, descriptor: usize) -> bool {
        self.wanted & (1 << descriptor) != 0
    }
}

/// The failure of spawning a shim or connecting to one.
fn no_shim(error: &io::Error, directory: &str) -> Failure {
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
        Failure::new(Code::NotFound, format!("no shim listens in {directory}"))
    } else {
        Failure::io(error, "shim", Some(directory))
    }
}

impl Launcher {
    pub(crate) fn shim(&mut self, frame: Frame) {
        let channel = frame.channel;
        let Ok(spawn) = serde_json::from_slice::<ShimSpawn>(&frame.payload) else {
            return;
        };
        let token = token(Kind::Shim, channel);
        let result = if frame.kind == daemon::SHIM_SPAWN {
            self.shims.spawn(channel, &spawn, &self.epoll, token)
        } else {
            self.shims.connect(channel, &spawn, &self.epoll, token)
        };
        if let Err(error) = result {
            let failure = no_shim(&error, &spawn.directory);
            self.daemon
                .writer
                .json(daemon::FROM_SHIM, channel, &FromShim::Failed { seq: 0, failure });
        }
    }

    /// Passes a message on to a shim, with those descriptors of a client that the daemon asked for.
    pub(crate) fn pass_on(&mut self, channel: u32, payload: &[u8]) {
        let Some(outgoing) = Outgoing::of(payload) else { return };
        let stdio = self
            .clients
            .get(outgoing.client)
            .map(|client| client.stdio.as_slice())
            .unwrap_or_default();
        let lent = stdio.iter().enumerate().filter(|(at, _)| outgoing.lends(*at));
        let mut fds: Vec<OwnedFd> = lent.filter_map(|(_, fd)| fd.try_clone().ok()).collect();
        if outgoing.kind == shim::START {
            match self.shims.hold(channel) {
                Ok(pipe) => fds.push(pipe),
                Err(error) => return self.refuse(channel, &error),
            }
        }
        self.shims.send(
            channel,
            outgoing.kind,
            outgoing.message,
            fds,
            &self.epoll,
            token(Kind::Shim, channel),
        );
    }

    /// Reports that the pipe which holds a start could not be made, and abandons the shim.
    fn refuse(&mut self, channel: u32, error: &io::Error) {
        let failure = Failure::io(error, "pipe", None);
        self.daemon
            .writer
            .json(daemon::FROM_SHIM, channel, &FromShim::Failed { seq: 0, failure });
        let abandon = serde_json::to_vec(&ToShim::Abandon).unwrap_or_default();
        self.shims.send(
            channel,
            shim::MESSAGE,
            &abandon,
            Vec::new(),
            &self.epoll,
            token(Kind::Shim, channel),
        );
    }

    pub(crate) fn receive_from_shim(&mut self, channel: u32) {
        self.shims.flush(channel, &self.epoll, token(Kind::Shim, channel));
        match self.shims.receive(channel) {
            Some(received) => {
                // Frames to the daemon leave in this order: it receives the shim's events before any command that follows from the client's
                // end.
                for frame in received.frames {
                    self.daemon.writer.push(daemon::FROM_SHIM, channel, &frame.payload, Vec::new());
                }
                for (client, code) in received.answers {
                    self.send_client(client, client::EXIT, &[code]);
                }
            }
            None => {
                let killed = self.shims.closed(channel, &self.epoll, token(Kind::Orphan, channel));
                self.daemon.writer.json(daemon::SHIM_GONE, channel, &ShimGone { killed });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_to_a_shim_names_a_client_and_its_descriptors() {
        let outgoing = Outgoing::of(&[2, 1, 0, 0, 0b101, shim::START, b'{', b'}']).unwrap();
        assert_eq!(
            outgoing,
            Outgoing {
                client: 258,
                wanted: 5,
                kind: shim::START,
                message: b"{}"
            }
        );
        assert_eq!([0, 1, 2].map(|at| outgoing.lends(at)), [true, false, true]);
        assert_eq!(Outgoing::of(&[0; 5]), None);
    }

    #[test]
    fn a_missing_shim_and_a_failed_spawn_have_different_codes() {
        let of = |kind: io::ErrorKind| no_shim(&kind.into(), "/run/x").code;
        assert_eq!(of(io::ErrorKind::ConnectionRefused), Code::NotFound);
        assert_eq!(
            no_shim(&io::Error::from_raw_os_error(libc::EMFILE), "/run/x").code,
            Code::ResourceExhausted
        );
    }
}
