//! Connections to the shim's socket: a launcher that reconnects, or an attachment.

use crate::channel::Channel;
use crate::session::Session;
use crate::shim::Shim;
use crate::sink::Owner;
use tsbox_core::peer::protocol::{Attach, FromShim, ToShim};

impl Shim {
    /// Reads a guest's first frame, which states its purpose.
    pub(crate) fn welcome(&mut self, at: usize) {
        let frames = match self.guests[at].receive() {
            Ok(frames) => frames,
            Err(_) => {
                self.guests.remove(at);
                return;
            }
        };
        let Some(frame) = frames.into_iter().next() else { return };
        let mut guest = self.guests.remove(at);
        match serde_json::from_slice(&frame.payload) {
            Ok(ToShim::Control) => {
                guest.send(&self.state());
                self.control = Some(guest);
            }
            Ok(ToShim::Attach(attach)) => self.attach(guest, attach),
            _ => {}
        }
    }

    fn attach(&mut self, mut guest: Channel, attach: Attach) {
        self.connections += 1;
        let owner = Owner::Connection(self.connections);
        guest.send(&FromShim::Attached);
        match &mut self.container {
            Some(container) if attach.exec.is_none() => join_guest(&mut container.process.session, guest, &attach, owner),
            _ => self.early.push((guest, attach, owner)),
        }
    }

    /// Joins the connections that came before the process. The process is the container's first one or an exec's.
    pub(crate) fn join_early(&mut self, exec: Option<&str>, session: &mut Session) {
        let (now, later) = self.early.drain(..).partition(|(_, attach, _)| attach.exec.as_deref() == exec);
        self.early = later;
        for (guest, attach, owner) in Vec::from_iter::<Vec<_>>(now) {
            join_guest(session, guest, &attach, owner);
        }
    }
}

/// From now on the connection carries stdio.
fn join_guest(session: &mut Session, guest: Channel, attach: &Attach, owner: Owner) {
    let Ok(reading) = guest.socket.try_clone() else { return };
    session.join(owner);
    if attach.stdin {
        session.feed(reading, owner, attach.detach_keys.as_deref());
    }
    session.sink(guest.socket, owner, attach.stdout, attach.stderr, attach.framed);
}
