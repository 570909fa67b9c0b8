//! The socket at which a created container's process waits until `start` connects.

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use tsbox_core::failure::Result;
use tsbox_core::sys::{self, Call};

pub fn listen(path: &Path) -> Result<OwnedFd> {
    let socket = socket()?;
    let (_directory, address) = address(path)?;
    bind(&socket, &address).call("bind", Some(&path.to_string_lossy()))?;
    rustix::net::listen(&socket, 1).call("listen", None)?;
    Ok(socket)
}

pub fn connect(path: &Path) -> Result<OwnedFd> {
    let socket = socket()?;
    let (_directory, address) = address(path)?;
    rustix::net::connect(&socket, &address).call("connect", Some(&path.to_string_lossy()))?;
    Ok(socket)
}

fn socket() -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).call("socket", None)
}

/// A socket's path has at most 107 bytes, and a path in a state directory may be longer. So the address uses the descriptor of the socket's
/// directory, which must stay open while the address is used.
fn address(path: &Path) -> Result<(OwnedFd, SocketAddrUnix)> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let directory = sys::open(&parent.to_string_lossy(), libc::O_PATH | libc::O_DIRECTORY)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let short = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    let address = SocketAddrUnix::new(short.as_str()).call("socket", Some(&short))?;
    Ok((directory, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_be_longer_than_an_address() {
        let directory = std::env::temp_dir().join(format!("tsbox-gate-{}-{}", std::process::id(), "x".repeat(100)));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("gate.sock");
        assert!(connect(&path).is_err());
        let _gate = listen(&path).unwrap();
        connect(&path).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
