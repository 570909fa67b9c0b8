//! Block devices by ioctl: the device mapper, loop devices, and the size of the file system on a device.
//!
//! No udev is needed: a device node that is missing is made here, under the name that udev would give it. Nothing waits for udev either
//! (no cookies), so that a host without it does not hang.

mod discard;
mod grow;
mod loops;
mod mapper;
mod record;

pub use discard::discard;
pub use grow::grow;
pub use loops::attach;
pub use mapper::{Device, Removal, Row, devices, map, message, reload, resume, status, suspended_message, targets, unmap};

use crate::failure::{Failure, Result};
use rustix::fs::{CWD, FileType, Mode, mknodat, statat};
use std::path::Path;

/// Runs an ioctl over a record of the kernel's layout.
fn control<T>(fd: std::os::fd::BorrowedFd, request: u64, record: &mut T, name: &str, path: &str) -> Result<()> {
    use std::os::fd::AsRawFd;
    loop {
        // SAFETY: each caller passes the record that the request's number names; it outlives the call.
        match unsafe { libc::ioctl(fd.as_raw_fd(), request as _, record as *mut T) } {
            0.. => return Ok(()),
            _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            _ => return Err(Failure::last(name, Some(path))),
        }
    }
}

/// Makes a device node, unless `path` is that device already.
fn make_node(path: &str, kind: FileType, device: u64) -> Result<()> {
    use crate::sys::Call;
    // Follows links: udev makes /dev/mapper/NAME a link to /dev/dm-N.
    if statat(CWD, path, rustix::fs::AtFlags::empty())
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == kind && found.st_rdev == device)
    {
        return Ok(());
    }
    if let Some(parent) = Path::new(path).parent() {
        std::fs::create_dir_all(parent).call("mkdir", Some(&parent.display().to_string()))?;
    }
    // A node that an earlier device of this name has left.
    let _ = std::fs::remove_file(path);
    match mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device) {
        // udev was faster.
        Err(rustix::io::Errno::EXIST) => Ok(()),
        made => made.call("mknod", Some(path)),
    }
}
