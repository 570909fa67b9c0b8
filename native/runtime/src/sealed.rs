//! A runtime's binary that no container can change.
//!
//! A process that enters a container is this binary until it execs, and a container's command can be a link to /proc/self/exe: whoever gets
//! a descriptor of the binary that way keeps it until nothing runs it, and then writes (CVE-2019-5736). So whoever launches containers runs
//! from a sealed copy in memory: there is nothing to write to. The copy is made once for a resident launcher, of whom all shims are forks.

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys;

const SEALS: i32 = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;

/// Runs on from a sealed copy: executes it with the same arguments and environment unless this process is one already. Call it first thing
/// in main, before threads and descriptors.
pub fn ensure() -> Result<()> {
    let own = sys::open("/proc/self/exe", libc::O_RDONLY)?;
    // SAFETY: plain numbers; what is no memory file says EINVAL.
    let seals = unsafe { libc::fcntl(own.as_raw_fd(), libc::F_GET_SEALS) };
    if seals >= 0 && seals & SEALS == SEALS {
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
    // SAFETY: both lists end with a null pointer and outlive the call.
    unsafe { libc::fexecve(copy.as_raw_fd(), pointers(&arguments).as_ptr(), pointers(&environment).as_ptr()) };
    Err(Failure::last("fexecve", None).at("sealed copy"))
}

fn copy(own: &OwnedFd) -> Result<OwnedFd> {
    const MFD_EXEC: u32 = 0x10;
    let make = |flags: u32| {
        // SAFETY: a C string.
        unsafe { libc::memfd_create(c"tsbox".as_ptr(), flags | libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) }
    };
    // MFD_EXEC is Linux 6.3's.
    let fd = match make(MFD_EXEC) {
        -1 => make(0),
        fd => fd,
    };
    sys::check(fd.into(), "memfd_create", None)?;
    // SAFETY: the kernel just made it, and nobody else has it.
    let copy = unsafe { OwnedFd::from_raw_fd(fd) };
    let size = sys::stat(std::os::fd::AsFd::as_fd(own))?.st_size;
    let mut done = 0;
    while done < size {
        // SAFETY: open descriptors; null: the source's own position.
        let count = unsafe { libc::sendfile(copy.as_raw_fd(), own.as_raw_fd(), std::ptr::null_mut(), (size - done) as usize) };
        if sys::check(count as libc::c_long, "sendfile", None)? == 0 {
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
        // SAFETY: plain numbers.
        let sealed = unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_ADD_SEALS, SEALS) };
        match sys::check(sealed.into(), "F_ADD_SEALS", None) {
            Err(failure) if failure.errno == Some(libc::EBUSY) && attempt < ATTEMPTS => {}
            answer => return answer.map(drop),
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
        // SAFETY: a memory file of one page, its mapping, and a pipe; all of them this test's own.
        let (copy, pipe) = unsafe {
            let fd = libc::memfd_create(c"sealed".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
            assert!(fd >= 0);
            let copy = OwnedFd::from_raw_fd(fd);
            assert_eq!(libc::write(fd, [7u8; 4096].as_ptr().cast(), 4096), 4096);
            let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
            assert_ne!(page, libc::MAP_FAILED);
            let mut ends = [0; 2];
            assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
            let bytes = libc::iovec {
                iov_base: page,
                iov_len: 4096,
            };
            assert_eq!(libc::vmsplice(ends[1], &bytes, 1, 0), 4096);
            libc::munmap(page, 4096);
            (copy, ends.map(|end| OwnedFd::from_raw_fd(end)))
        };
        // SAFETY: plain numbers.
        assert_eq!(unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_ADD_SEALS, SEALS) }, -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EBUSY));
        let release = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            drop(pipe);
        });
        seal(&copy).unwrap();
        release.join().unwrap();
        // SAFETY: plain numbers.
        assert_eq!(unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_GET_SEALS) } & SEALS, SEALS);
    }
}
