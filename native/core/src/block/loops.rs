//! Loop devices: a file as a block device.

use super::{control, make_node};
use crate::failure::{Code, Failure, Result};
use crate::sys;
use rustix::fs::FileType;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const CONTROL: &str = "/dev/loop-control";
/// LOOP_MAJOR
const MAJOR: u32 = 7;
/// LOOP_CTL_GET_FREE
const GET_FREE: u64 = 0x4c82;
/// LOOP_CONFIGURE, Linux 5.8
const CONFIGURE: u64 = 0x4c0a;
const AUTOCLEAR: u32 = 4;
/// The file's pages are not kept in memory twice. The kernel leaves it out where the file system can't do it.
const DIRECT_IO: u32 = 16;
/// Others may take the device that the kernel has named as free.
const ATTEMPTS: usize = 64;

/// struct loop_config, with struct loop_info64 inside.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// Attaches a file to a free loop device. The device detaches itself when nobody has it open any more: the caller holds the descriptor
/// until the device's user has it open. Returns the device's path with it.
pub fn attach(file: &str) -> Result<(OwnedFd, String)> {
    let backing = sys::open(file, libc::O_RDWR)?;
    let list = sys::open(CONTROL, libc::O_RDWR).map_err(|failure| match failure.errno {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Failure {
            code: Code::Unsupported,
            message: "this kernel has no loop devices; load the module: modprobe loop".to_owned(),
            ..failure
        },
        _ => failure,
    })?;
    for _ in 0..ATTEMPTS {
        // SAFETY: the request takes no record, and returns a number.
        let number = unsafe { libc::ioctl(list.as_raw_fd(), GET_FREE as _) };
        let number = u32::try_from(number).map_err(|_| Failure::last("ioctl(LOOP_CTL_GET_FREE)", Some(CONTROL)))?;
        let path = format!("/dev/loop{number}");
        make_node(&path, FileType::BlockDevice, libc::makedev(MAJOR, number))?;
        let device = sys::open(&path, libc::O_RDWR)?;
        let mut name = [0; 64];
        let shown = &file.as_bytes()[..file.len().min(63)];
        name[..shown.len()].copy_from_slice(shown);
        let mut config = Config {
            fd: backing.as_raw_fd() as u32,
            block_size: 0,
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: AUTOCLEAR | DIRECT_IO,
            file_name: name,
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
            reserved: [0; 8],
        };
        match control(device.as_fd(), CONFIGURE, &mut config, "ioctl(LOOP_CONFIGURE)", &path) {
            Ok(()) => return Ok((device, path)),
            Err(failure) if failure.errno == Some(libc::EBUSY) => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::new(
        Code::ResourceExhausted,
        "no loop device is free; detach unused ones: losetup -D",
    ))
}
