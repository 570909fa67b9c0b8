//! Requests of the launcher to a shim.

use crate::client::Client;
use crate::exec;
use crate::launch::Start;
use crate::session::Session;
use crate::shim::Shim;
use crate::sink::Owner;
use std::os::fd::OwnedFd;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::peer::protocol::{FromShim, ToShim, shim};
use tsbox_core::peer::wire::Frame;
use tsbox_core::sys::process::kill;

/// A parsed frame of the launcher.
enum Message {
    Start(Box<Start>),
    Exec(Box<exec::Start>),
    Other(ToShim),
    /// The request can't be parsed, and its sender waits for an answer.
    Refused {
        seq: u32,
        failure: Failure,
    },
    /// A message that this shim does not know, from a newer launcher. It is ignored.
    Unknown,
}

impl Message {
    fn of(kind: u8, payload: &[u8]) -> Message {
        let refused = |seq: u32, what: &str, error: serde_json::Error| Message::Refused {
            seq,
            failure: Failure::new(Code::InvalidArgument, format!("{what} is not one: {error}")),
        };
        match kind {
            shim::START => match serde_json::from_slice(payload) {
                Ok(start) => Message::Start(Box::new(start)),
                Err(error) => refused(0, "the launch", error),
            },
            shim::EXEC => match serde_json::from_slice(payload) {
                Ok(start) => Message::Exec(Box::new(start)),
                Err(error) => refused(seq_of(payload), "the exec", error),
            },
            _ => serde_json::from_slice(payload).map_or(Message::Unknown, Message::Other),
        }
    }
}

/// The request's number, which its answer must carry, from a message that is otherwise invalid.
fn seq_of(payload: &[u8]) -> u32 {
    let message: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    message["seq"].as_u64().map_or(0, |seq| seq as u32)
}

impl Shim {
    /// Reads and executes the launcher's requests.
    pub(crate) fn receive(&mut self) {
        let Some(control) = &mut self.control else { return };
        control.flush();
        match control.receive() {
            Ok(frames) => frames.into_iter().for_each(|frame| self.handle(frame)),
            // The launcher is dead, and its successor will connect. A shim without a container is of no use.
            Err(_) => {
                self.control = None;
                // The launcher's death also cancels a start in progress, since the launcher holds the start.
                self.abandoned = self.container.is_none();
                self.sessions().for_each(Session::lose_clients);
            }
        }
    }

    fn handle(&mut self, frame: Frame) {
        match Message::of(frame.kind, &frame.payload) {
            Message::Start(start) => self.start(*start, frame.fds),
            Message::Exec(start) => self.exec(*start, frame.fds),
            Message::Other(message) => self.handle_message(message, frame.fds),
            Message::Refused { seq, failure } => self.send(&FromShim::Failed { seq, failure }),
            Message::Unknown => {}
        }
    }

    fn handle_message(&mut self, message: ToShim, fds: Vec<OwnedFd>) {
        let answer = |result: Result<()>, seq: u32| match result {
            Ok(()) => FromShim::Done { seq },
            Err(failure) => FromShim::Failed { seq, failure },
        };
        match message {
            ToShim::Abandon => self.abandoned = self.container.is_none(),
            ToShim::Signal { seq, signal, all } => {
                let result = self.signal(signal, all);
                self.send(&answer(result, seq));
            }
            ToShim::Pause { seq } => {
                let result = self.pause(true);
                self.send(&answer(result, seq));
            }
            ToShim::Resume { seq } => {
                let result = self.pause(false);
                self.send(&answer(result, seq));
            }
            ToShim::Resize { rows, columns } => {
                if let Some(container) = &self.container {
                    container.process.session.resize(rows, columns);
                }
            }
            ToShim::ResizeExec { exec, rows, columns } => {
                if let Ok(exec) = self.execs.get(&exec) {
                    exec.process.session.resize(rows, columns);
                }
            }
            ToShim::SignalExec { seq, exec, signal } => {
                let result = self.signal_exec(&exec, signal);
                self.send(&answer(result, seq));
            }
            ToShim::Join {
                seq,
                client,
                stdin,
                stdout,
                stderr,
                detach_keys,
            } => {
                let client = Client {
                    client,
                    stdin,
                    stdout,
                    stderr,
                    detach_keys,
                    answer: false,
                };
                let joined = self.running().map(|container| container.process.session.join_client(&client, fds));
                self.send(&answer(joined, seq));
            }
            ToShim::Leave { client } => {
                self.sessions().for_each(|session| session.lose(Owner::Client(client)));
                self.starting.iter_mut().for_each(|start| start.lose(client));
            }
            // A new daemon of the same launcher asks for the state.
            ToShim::Control => {
                let state = self.state();
                self.send(&state);
            }
            ToShim::Attach(_) => {}
        }
    }

    fn signal(&mut self, signal: i32, all: bool) -> Result<()> {
        let container = self.running()?;
        if all {
            container.cgroup.kill_all(signal)?;
        } else {
            container.process.signal(signal)?;
        }
        // On cgroup v1 even SIGKILL waits until a frozen group is thawed.
        if signal == libc::SIGKILL && container.paused {
            container.paused = false;
            container.cgroup.thaw()?;
        }
        Ok(())
    }

    /// Signals the exec's process and the process group that it leads, because a deadline also covers the processes that it has started.
    fn signal_exec(&mut self, id: &str, signal: i32) -> Result<()> {
        let process = &self.execs.get(id)?.process;
        if process.exited().is_none() {
            process.signal(signal)?;
            // A child that is not reaped keeps its pid. It may not lead a process group yet.
            let _ = kill(-process.pid, signal);
        }
        Ok(())
    }

    fn pause(&mut self, pause: bool) -> Result<()> {
        let container = self.running()?;
        if pause {
            container.cgroup.freeze()?
        } else {
            container.cgroup.thaw()?
        }
        container.paused = pause;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_request_is_answered_with_its_number() {
        let Message::Refused { seq, failure } = Message::of(shim::EXEC, br#"{"seq": 7, "exec": 1}"#) else {
            panic!("not refused");
        };
        assert_eq!((seq, failure.code), (7, Code::InvalidArgument));
        assert!(failure.message.starts_with("the exec is not one: "), "{failure}");
        // A shim has one start, which is answered as number 0.
        assert!(matches!(Message::of(shim::START, b"{}"), Message::Refused { seq: 0, .. }));
        assert!(matches!(Message::of(shim::START, b"no json"), Message::Refused { seq: 0, .. }));
    }

    #[test]
    fn unknown_messages_are_recognized() {
        let pause = Message::of(shim::MESSAGE, br#"{"op": "pause", "seq": 3}"#);
        assert!(matches!(pause, Message::Other(ToShim::Pause { seq: 3 })));
        assert!(matches!(Message::of(shim::MESSAGE, br#"{"op": "dance"}"#), Message::Unknown));
    }
}
