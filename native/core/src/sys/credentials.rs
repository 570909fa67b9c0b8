//! The peer of a unix socket, as the kernel reports it (SO_PEERCRED).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

/// Process, user and group. The pid is 0 for a process of another pid namespace, which rustix's own call can't express.
pub fn of(socket: impl AsFd) -> io::Result<libc::ucred> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: room for one ucred, whose size goes along.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &mut length,
        )
    };
    if result == 0 { Ok(found) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_other_side_of_a_pair_is_this_process() {
        let (left, _right) = UnixStream::pair().unwrap();
        let found = of(&left).unwrap();
        assert_eq!(found.pid, std::process::id() as i32);
        assert_eq!(found.uid, rustix::process::geteuid().as_raw());
        assert!(of(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
