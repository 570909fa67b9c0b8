//! The conversation with the launcher: the client sends its arguments and descriptors, then signals, and receives output and an exit code.

use crate::config;
use crate::logins::{self, Lookup};
use crate::terminal::{self, Raw};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{stderr, stdin, stdout};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use tsbox_core::peer::address::{self, Address};
use tsbox_core::peer::protocol::{ClientHello, VERSION, client};
use tsbox_core::peer::wire::{Fill, Frame, Reader, Writer};
use tsbox_core::sys::poll::{self, Ready};
use tsbox_core::sys::signals::Signals;

pub enum Outcome {
    Exit(i32),
    Local,
}

/// Signals that a user sends to the command and that belong to the container. SIGWINCH reports the window's size.
const FORWARDED: [i32; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCONT,
    libc::SIGWINCH,
];

/// After so many SIGINT or SIGTERM the client exits whatever the state of the engine, as docker's does.
const TERMINATIONS: u32 = 3;

/// The exit code that a shell reports for a program that SIGPIPE has ended.
const NO_READER: i32 = 128 + libc::SIGPIPE;

/// `http`: the address that the user gave.
pub fn serve(stream: UnixStream, args: &[String], http: Option<&Path>) -> Outcome {
    match converse(&stream, args, http) {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("tsbox: lost the engine: {error}; containers go on: see `tsbox ps`");
            Outcome::Exit(125)
        }
    }
}

fn converse(stream: &UnixStream, args: &[String], http: Option<&Path>) -> io::Result<Outcome> {
    let signals = Signals::also(&FORWARDED).map_err(|failure| io::Error::other(failure.to_string()))?;
    // An environment may be larger than the socket's buffer. A non-blocking socket lets signals end a client whose message is not read.
    stream.set_nonblocking(true)?;
    let mut writer = Writer::default();
    let hello = ClientHello {
        version: VERSION,
        argv: args.to_vec(),
        env: std::env::vars_os()
            .filter_map(|(name, value)| Some(format!("{}={}", name.to_str()?, value.to_str()?)))
            .collect(),
        // The working directory may be gone, or its name may not be UTF-8. Neither is a reason to refuse `ps`.
        cwd: std::env::current_dir()
            .ok()
            .and_then(|path| path.to_str().map(str::to_owned))
            .unwrap_or_else(|| "/".to_owned()),
        terminals: terminal::are_terminals(),
        size: terminal::size(),
        detach_keys: config::detach_keys(args),
        // If there is no socket, send an address that matches no engine.
        address: http.map(|http| address::behind(http).unwrap_or(Address { device: 0, inode: 0 })),
    };
    writer.push(client::HELLO, 0, &serde_json::to_vec(&hello)?, descriptors()?);
    writer.flush(stream)?;
    let mut reader = Reader::default();
    let mut raw: Option<Raw> = None;
    let mut lookup: Option<Lookup> = None;
    let (mut printed, mut terminations) = (false, 0);
    loop {
        let mut polled = [
            libc::pollfd {
                fd: stream.as_raw_fd(),
                events: libc::POLLIN | if writer.pending() > 0 { libc::POLLOUT } else { 0 },
                revents: 0,
            },
            libc::pollfd {
                fd: signals.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            },
            // A follower (`logs -f`, `events`) ends when its reader is gone, not only with the next line. A command that has printed
            // nothing must finish its work first.
            libc::pollfd {
                fd: if printed { 1 } else { -1 },
                events: 0,
                revents: 0,
            },
            libc::pollfd {
                fd: lookup.as_ref().map_or(-1, Lookup::fd),
                events: libc::POLLIN,
                revents: 0,
            },
        ];
        if poll::wait(&mut polled, -1)? == Ready::Interrupted {
            continue;
        }
        if polled[1].revents != 0 {
            let signal = forward(&signals, &mut writer);
            writer.flush(stream)?;
            terminations += u32::from(matches!(signal, Some(libc::SIGINT | libc::SIGTERM)));
            if terminations == TERMINATIONS {
                drop(raw);
                // Standard error may have no reader.
                let _ = writeln!(io::stderr(), "\ngot {TERMINATIONS} SIGTERM/SIGINTs, forcefully exiting");
                return Ok(Outcome::Exit(1));
            }
        }
        if polled[3].revents != 0
            && let Some(found) = lookup.as_mut().and_then(Lookup::read)
        {
            lookup = None;
            writer.push(client::LOGINS_FOUND, 0, &found, Vec::new());
            writer.flush(stream)?;
        }
        if polled[0].revents & libc::POLLOUT != 0 {
            writer.flush(stream)?;
        }
        if polled[0].revents & !libc::POLLOUT == 0 {
            if polled[2].revents & (libc::POLLERR | libc::POLLHUP) != 0 {
                return Ok(Outcome::Exit(NO_READER));
            }
            continue;
        }
        if reader.fill(stream)? == Fill::End {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it ended"));
        }
        while let Some(frame) = reader.take()? {
            printed |= frame.kind == client::STDOUT;
            if frame.kind == client::LOGINS {
                lookup = Lookup::begin(args, &frame.payload);
                if lookup.is_none() {
                    writer.push(client::LOGINS_FOUND, 0, logins::NONE, Vec::new());
                    writer.flush(stream)?;
                }
                continue;
            }
            if let Some(outcome) = handle(frame, &mut raw)? {
                return Ok(outcome);
            }
        }
    }
}

fn handle(frame: Frame, raw: &mut Option<Raw>) -> io::Result<Option<Outcome>> {
    match frame.kind {
        client::STDOUT => print(io::stdout().lock(), &frame.payload),
        client::STDERR => print(io::stderr().lock(), &frame.payload),
        client::RAW => {
            *raw = if frame.payload == [1] { Raw::enter() } else { None };
            Ok(None)
        }
        client::EXIT => Ok(Some(Outcome::Exit(frame.payload.first().copied().unwrap_or(125).into()))),
        client::LOCAL => Ok(Some(Outcome::Local)),
        _ => Ok(None),
    }
}

/// Writes to an output. If the reader is gone (`| head`), the command ends as SIGPIPE would end it.
fn print(mut to: impl Write, bytes: &[u8]) -> io::Result<Option<Outcome>> {
    match to.write_all(bytes).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(Outcome::Exit(NO_READER))),
        other => other.map(|()| None),
    }
}

/// Copies of 0, 1 and 2. A closed one is replaced by /dev/null, so that no other file gets its number.
fn descriptors() -> io::Result<Vec<OwnedFd>> {
    [stdin(), stdout(), stderr()]
        .into_iter()
        .map(|fd| {
            if let Ok(copy) = fcntl_dupfd_cloexec(fd, 3) {
                return Ok(copy);
            }
            std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")
                .map(OwnedFd::from)
        })
        .collect()
}

/// Forwards the next signal and returns it.
fn forward(signals: &Signals, writer: &mut Writer) -> Option<i32> {
    let signal = signals.next()?;
    if signal == libc::SIGWINCH {
        if let Some(size) = terminal::size() {
            let [r0, r1] = size.rows.to_le_bytes();
            let [c0, c1] = size.columns.to_le_bytes();
            writer.push(client::RESIZED, 0, &[r0, r1, c0, c1], Vec::new());
        }
    } else {
        writer.push(client::SIGNAL, 0, &[signal as u8], Vec::new());
    }
    Some(signal)
}
