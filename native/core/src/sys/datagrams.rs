//! Datagrams to a unix socket, for journald and syslog: Node has no such sockets.

use crate::failure::{Code, Failure, Result};
use crate::sys::{Call, messages};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

/// Sends datagrams in order, without waiting. Returns how many the socket has taken: it is full then, or all are sent. With `as_file` a
/// datagram that the socket is too small for goes as a sealed memory file, which journald reads; without, it is cut where it fits.
pub fn send(path: &str, datagrams: &[&[u8]], as_file: bool) -> Result<usize> {
    let socket = UnixDatagram::unbound().call("socket", None)?;
    socket.set_nonblocking(true).call("fcntl", None)?;
    socket.connect(path).map_err(|error| gone(&error, path))?;
    for (sent, datagram) in datagrams.iter().enumerate() {
        match send_one(&socket, datagram, as_file) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(sent),
            Err(errno) => return Err(gone(&errno.into(), path)),
        }
    }
    Ok(datagrams.len())
}

fn send_one(socket: &UnixDatagram, datagram: &[u8], as_file: bool) -> rustix::io::Result<()> {
    let plain = |bytes: &[u8]| rustix::net::send(socket, bytes, SendFlags::NOSIGNAL).map(|_| ());
    match plain(datagram) {
        Err(Errno::MSGSIZE) if as_file => send_file(socket, datagram),
        Err(Errno::MSGSIZE) => {
            let mut length = datagram.len();
            while length > 1024 {
                length /= 2;
                match plain(&datagram[..length]) {
                    Err(Errno::MSGSIZE) => {}
                    outcome => return outcome,
                }
            }
            Err(Errno::MSGSIZE)
        }
        outcome => outcome,
    }
}

fn send_file(socket: &UnixDatagram, datagram: &[u8]) -> rustix::io::Result<()> {
    let system = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let mut file = File::from(memfd_create(c"tsbox-journal", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(datagram).map_err(system)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    messages::send(socket, &[], &[file.as_fd()]).map(|_| ()).map_err(system)
}

/// Nobody listens, which may change.
fn gone(error: &std::io::Error, path: &str) -> Failure {
    let failure = Failure::io(error, "connect", Some(path));
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Failure {
            code: Code::Unavailable,
            message: format!("nobody listens on {path}: start the program that does"),
            ..failure
        },
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (std::path::PathBuf, UnixDatagram) {
        let path = std::env::temp_dir().join(format!("tsbox-datagrams-{}-{:?}", std::process::id(), std::thread::current().id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        (path, socket)
    }

    #[test]
    fn datagrams_come_in_order_and_a_full_socket_says_how_many_it_took() {
        let (path, socket) = socket();
        let name = path.to_str().unwrap();
        let all: Vec<Vec<u8>> = (0..2000u32).map(|at| at.to_string().into_bytes()).collect();
        let refs: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let taken = send(name, &refs, false).unwrap();
        assert!(taken > 0 && taken < 2000, "{taken} of 2000");
        let mut buffer = [0; 16];
        for at in 0..taken {
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], at.to_string().as_bytes());
        }
        assert_eq!(send(name, &refs[taken..=taken], false).unwrap(), 1);
        drop(socket);
        assert_eq!(send(name, &refs, false).unwrap_err().code, Code::Unavailable);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(send(name, &refs, false).unwrap_err().code, Code::Unavailable);
    }

    #[test]
    fn a_datagram_that_is_too_long_is_a_sealed_file_or_is_cut() {
        let (path, socket) = socket();
        let name = path.to_str().unwrap();
        let long = vec![b'x'; 4 << 20];
        assert_eq!(send(name, &[&long], true).unwrap(), 1);
        let mut descriptors = Vec::new();
        let mut buffer = [0; 16];
        let length = messages::receive(socket.as_fd(), &mut buffer, &mut descriptors).unwrap();
        assert_eq!((length, descriptors.len()), (0, 1));
        let file = File::from(descriptors.remove(0));
        assert_eq!(file.metadata().unwrap().len(), 4 << 20);
        assert_eq!(send(name, &[&long], false).unwrap(), 1);
        std::fs::remove_file(&path).unwrap();
    }
}
