//! Protects the runtime's binary from containers.
//!
//! A process that enters a container runs this binary until it execs, and a container's command can be a link to /proc/self/exe. A
//! container that gets a descriptor of the binary that way keeps it until no process runs the binary, and then writes to it
//! (CVE-2019-5736). So a process that launches containers runs a sealed copy in memory, which can't be written to. A resident launcher
//! makes the copy once; all shims are its forks.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create, sendfile};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys::{self, Call};

const SEALS: SealFlags = SealFlags::SEAL
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE);

/// Executes a sealed copy with the same arguments and environment, unless this process is one already. Call it first in main, before
/// threads and descriptors exist.
pub fn ensure() -> Result<()> {
    let own = sys::open("/proc/self/exe", libc::O_RDONLY)?;
    // Other files than memory files have no seals (EINVAL).
    if fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SEALS)) {
        return Ok(());
    }
    let copy = copy(&own).map_err(|failure| failure.at("sealed copy"))?;
    let strings = |words: Vec<Vec<u8>>| {
        words
            .into_iter()
            .map(CString::new)
            .collect::<std::result::Result<Vec<CString>, _>>()
    };
    let arguments = strings(std::env::args_os().map(|word| word.into_vec()).collect());
    let environment = strings(
        std::env::vars_os()
            .map(|(key, value)| [key.into_vec(), b"=".to_vec(), value.into_vec()].concat())
            .collect(),
    );
    let (Ok(arguments), Ok(environment)) = (arguments, environment) else {
        return Err(Failure::new(Code::InvalidArgument, "a zero byte among the arguments"));
    };
    let pointers = |strings: &[CString]| strings.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
    // SAFETY: both lists end with a null pointer and outlive the call, as do the strings.
    unsafe { libc::fexecve(copy.as_raw_fd(), pointers(&arguments).as_ptr(), pointers(&environment).as_ptr()) };
    Err(Failure::last("fexecve", None).at("sealed copy"))
}

fn copy(own: &OwnedFd) -> Result<OwnedFd> {
    let make = |flags: MemfdFlags| memfd_create(c"tsbox", flags | MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    // MFD_EXEC exists since Linux 6.3.
    let copy = make(MemfdFlags::EXEC)
        .or_else(|_| make(MemfdFlags::empty()))
        .call("memfd_create", None)?;
    let size = sys::stat(std::os::fd::AsFd::as_fd(own))?.st_size;
    let mut done = 0;
    while done < size {
        let count = sendfile(&copy, own, None, (size - done) as usize).call("sendfile", None)?;
        if count == 0 {
            return Err(Failure::new(Code::Unavailable, "the binary was changed while it was copied"));
        }
        done += count as i64;
    }
    seal(&copy)?;
    Ok(copy)
}

/// Seals the copy. The call fails with EBUSY, after waiting a sixth of a second, if the kernel uses a page of the file at that moment (to
/// swap it, to move it, on another processor's list). So the call is repeated.
fn seal(copy: &OwnedFd) -> Result<()> {
    const ATTEMPTS: u32 = 30;
    for attempt in 1..=ATTEMPTS {
        match fcntl_add_seals(copy, SEALS) {
            Err(Errno::BUSY) if attempt < ATTEMPTS => {}
            answer => return answer.call("F_ADD_SEALS", None),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page in a pipe has two references.
    #[test]
    fn a_page_in_use_is_waited_for() {
        let copy = memfd_create(c"sealed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        assert_eq!(rustix::io::write(&copy, &[7u8; 4096]).unwrap(), 4096);
        let pipe = std::io::pipe().unwrap();
        // SAFETY: a mapping of one page of that file, which only this block uses and which is unmapped at its end; the pipe holds the page
        // itself.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, copy.as_raw_fd(), 0);
            assert_ne!(page, libc::MAP_FAILED);
            let bytes = libc::iovec {
                iov_base: page,
                iov_len: 4096,
            };
            assert_eq!(libc::vmsplice(pipe.1.as_raw_fd(), &bytes, 1, 0), 4096);
            libc::munmap(page, 4096);
        }
        assert_eq!(fcntl_add_seals(&copy, SEALS), Err(Errno::BUSY));
        let release = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            drop(pipe);
        });
        seal(&copy).unwrap();
        release.join().unwrap();
        assert!(fcntl_get_seals(&copy).unwrap().contains(SEALS));
    }
}
