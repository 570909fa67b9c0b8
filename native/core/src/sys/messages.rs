//! Bytes and descriptors over unix sockets (SCM_RIGHTS).

use super::retry;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The maximum number of descriptors in one message. A client sends three, a launcher at most four.
pub const MOST_FDS: usize = 8;

/// recvmsg(2). The descriptors are close-on-exec. 0: the peer has closed the connection.
pub fn receive(socket: impl AsFd, bytes: &mut [u8], fds: &mut impl Extend<OwnedFd>) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let count = retry(|| {
        let mut vector = [IoSliceMut::new(bytes)];
        recvmsg(&socket, &mut vector, &mut control, RecvFlags::CMSG_CLOEXEC).map(|message| message.bytes)
    })?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(count)
}

/// sendmsg(2), which may send only a part; the descriptors go with the first byte. `fds`: at most [`MOST_FDS`].
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd]) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    if fds.len() > MOST_FDS || !(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds))) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let vector = [IoSlice::new(bytes)];
    Ok(retry(|| sendmsg(&socket, &vector, &mut control, SendFlags::NOSIGNAL))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_arrive_with_the_bytes() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut reading, writing) = io::pipe().unwrap();
        assert_eq!(send(&left, b"abc", &[writing.as_fd(); MOST_FDS]).unwrap(), 3);
        drop(writing);
        let (mut bytes, mut fds) = ([0; 16], Vec::new());
        assert_eq!(receive(&right, &mut bytes, &mut fds).unwrap(), 3);
        assert_eq!((&bytes[..3], fds.len()), (b"abc".as_slice(), MOST_FDS));
        std::fs::File::from(fds.remove(0)).write_all(b"x").unwrap();
        drop(fds);
        let mut all = String::new();
        reading.read_to_string(&mut all).unwrap();
        assert_eq!(all, "x");
        assert!(send(&left, b"a", &[left.as_fd(); MOST_FDS + 1]).is_err());
        drop(left);
        assert_eq!(receive(&right, &mut bytes, &mut Vec::new()).unwrap(), 0);
    }
}
