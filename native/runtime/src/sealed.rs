//! A runtime's binary that no container can change.
//!
//! A process that enters a container is this binary until it execs, and a container's command can be a link to /proc/self/exe: whoever gets
//! a descriptor of the binary that way keeps it until nothing runs it, and then writes (CVE-2019-5736). So whoever launches containers runs
//! from a sealed copy in memory: there is nothing to write to. The copy is made once for a resident launcher, of whom all shims are forks.

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

/// Runs on from a sealed copy: executes it with the same arguments and environment unless this process is one already. Call it first thing
/// in main, before threads and descriptors.
pub fn ensure() -> Result<()> {
    let own = sys::open("/proc/self/exe", libc::O_RDONLY)?;
    // What is no memory file has none (EINVAL).
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
    // MFD_EXEC is Linux 6.3's.
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

/// A page of it that the kernel just has in its hands (to swap it, to move it, on another processor's list) is EBUSY, after a sixth of a
/// second of waiting in the call.
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

    /// A page that lies in a pipe belongs to two.
    #[test]
    fn a_page_in_use_is_waited_for() {
        let copy = memfd_create(c"sealed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        assert_eq!(rustix::io::write(&copy, &[7u8; 4096]).unwrap(), 4096);
        let pipe = std::io::pipe().unwrap();
        // SAFETY: a mapping of one page of that file, which is this block's own and is gone at its end; the pipe holds the page itself.
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
