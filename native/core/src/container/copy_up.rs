//! `tmpcopyup`: what an image has in a directory, copied into the tmpfs that is about to cover it. Every step goes by descriptor and
//! follows no link.

use crate::failure::{Failure, Result};
use crate::sys;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

pub fn copy(from: BorrowedFd, to: BorrowedFd) -> Result<()> {
    adopt(from, to)?;
    for name in names(from)? {
        let shown = name.to_string_lossy().into_owned();
        // SAFETY: stat is plain numbers; the name outlives the calls.
        let stat = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            sys::check(
                libc::fstatat(from.as_raw_fd(), name.as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW).into(),
                "stat",
                Some(&shown),
            )?;
            stat
        };
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                // SAFETY: the name outlives the call.
                sys::check(
                    unsafe { libc::mkdirat(to.as_raw_fd(), name.as_ptr(), 0o700) }.into(),
                    "mkdir",
                    Some(&shown),
                )?;
                let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
                copy(sys::open_at(from, &shown, flags)?.as_fd(), sys::open_at(to, &shown, flags)?.as_fd())?;
            }
            libc::S_IFREG => copy_file(from, to, &shown)?,
            libc::S_IFLNK => copy_link(from, to, &name, &stat)?,
            // A node, socket or pipe has no content; a tmpfs for scratch data needs none of them.
            _ => {}
        }
    }
    Ok(())
}

fn copy_file(from: BorrowedFd, to: BorrowedFd, name: &str) -> Result<()> {
    let source = sys::open_at(from, name, libc::O_RDONLY | libc::O_NOFOLLOW)?;
    let made = sys::open_at(to, name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW)?;
    loop {
        // SAFETY: both descriptors are open; null offsets mean their own positions.
        let count = unsafe { libc::sendfile(made.as_raw_fd(), source.as_raw_fd(), std::ptr::null_mut(), 1 << 20) };
        if count < 0 {
            return Err(Failure::last("sendfile", Some(name)));
        }
        if count == 0 {
            return adopt(source.as_fd(), made.as_fd());
        }
    }
}

fn copy_link(from: BorrowedFd, to: BorrowedFd, name: &CStr, stat: &libc::stat) -> Result<()> {
    let mut target = vec![0u8; 4097];
    // SAFETY: the buffer is that long; a byte is left for the zero.
    let length = unsafe { libc::readlinkat(from.as_raw_fd(), name.as_ptr(), target.as_mut_ptr().cast(), 4096) };
    sys::check(length as libc::c_long, "readlink", None)?;
    target.truncate(length as usize);
    let target = CString::new(target).unwrap_or_default();
    // SAFETY: all strings outlive the calls.
    unsafe {
        sys::check(
            libc::symlinkat(target.as_ptr(), to.as_raw_fd(), name.as_ptr()).into(),
            "symlink",
            None,
        )?;
        sys::check(
            libc::fchownat(to.as_raw_fd(), name.as_ptr(), stat.st_uid, stat.st_gid, libc::AT_SYMLINK_NOFOLLOW).into(),
            "chown",
            None,
        )?;
    }
    Ok(())
}

/// Owner, then mode (a chown takes the set-id bits away).
fn adopt(from: BorrowedFd, to: BorrowedFd) -> Result<()> {
    let stat = sys::stat(from)?;
    // SAFETY: plain numbers.
    unsafe {
        sys::check(
            libc::fchownat(to.as_raw_fd(), c"".as_ptr(), stat.st_uid, stat.st_gid, libc::AT_EMPTY_PATH).into(),
            "chown",
            None,
        )?;
        let own = to.as_raw_fd();
        // A mount's own descriptor is O_PATH, which fchmod refuses.
        if libc::fchmod(own, stat.st_mode & 0o7777) != 0 {
            let again = sys::open_at(to, ".", libc::O_RDONLY | libc::O_DIRECTORY)?;
            sys::check(libc::fchmod(again.as_raw_fd(), stat.st_mode & 0o7777).into(), "chmod", None)?;
        }
    }
    Ok(())
}

fn names(directory: BorrowedFd) -> Result<Vec<CString>> {
    let fd: OwnedFd = sys::open_at(directory, ".", libc::O_RDONLY | libc::O_DIRECTORY)?;
    let mut names = Vec::new();
    // SAFETY: fdopendir owns the descriptor from here on; an entry is read before the next call.
    unsafe {
        let stream = libc::fdopendir(fd.into_raw_fd());
        if stream.is_null() {
            return Err(Failure::last("fdopendir", None));
        }
        loop {
            let entry = libc::readdir(stream);
            if entry.is_null() {
                break;
            }
            let name = CStr::from_ptr((*entry).d_name.as_ptr());
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        libc::closedir(stream);
    }
    Ok(names)
}
