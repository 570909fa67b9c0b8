use rustix::fs::SeekFrom;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The names in a directory that was opened for reading, without `.` and `..`, in the order of the file system.
pub fn list(directory: BorrowedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    let mut buffer = vec![0u8; 32 << 10];
    // The descriptor may have been read before.
    rustix::fs::seek(directory, SeekFrom::Start(0))?;
    loop {
        // SAFETY: the kernel writes within the buffer's length. rustix's RawDir makes a value of each record, whose names are copied again.
        let count = unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
        match count {
            0 => return Ok(names),
            1.. => names_of(&buffer[..count as usize], &mut names),
            _ => match io::Error::last_os_error() {
                // The directory itself was removed, so it is empty.
                error if error.raw_os_error() == Some(libc::ENOENT) => return Ok(names),
                error => return Err(error),
            },
        }
    }
}

/// Like [`list`], in the order of the names' bytes.
pub fn sorted(directory: BorrowedFd) -> io::Result<Vec<CString>> {
    let mut names = list(directory)?;
    names.sort_unstable();
    Ok(names)
}

/// linux_dirent64: inode u64, offset u64, length u16, type u8, name with its NUL.
fn names_of(mut records: &[u8], names: &mut Vec<CString>) {
    const NAME: usize = 19;
    while records.len() > NAME {
        let length = usize::from(u16::from_ne_bytes([records[16], records[17]]));
        let (record, rest) = records.split_at(length);
        if let Ok(name) = CStr::from_bytes_until_nul(&record[NAME..])
            && name != c"."
            && name != c".."
        {
            names.push(name.to_owned());
        }
        records = rest;
    }
}
