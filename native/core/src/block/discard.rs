//! The blocks of a device, given back to what is below it.

use super::control;
use crate::failure::Result;
use crate::sys;
use crate::tree::Cancel;
use std::os::fd::AsFd;

/// BLKDISCARD
const DISCARD: u64 = 0x1277;
/// BLKGETSIZE64
const SIZE: u64 = 0x8008_1272;
/// Bytes between two looks at the caller's word to stop.
const STEP: u64 = 1 << 30;

/// Discards all blocks of the device at `path`.
pub fn discard(path: &str, cancel: &Cancel) -> Result<()> {
    let device = sys::open(path, libc::O_RDWR)?;
    let mut size = 0u64;
    control(device.as_fd(), SIZE, &mut size, "ioctl(BLKGETSIZE64)", path)?;
    let mut at = 0;
    while at < size {
        cancel.check()?;
        let mut range = [at, STEP.min(size - at)];
        control(device.as_fd(), DISCARD, &mut range, "ioctl(BLKDISCARD)", path)?;
        at += STEP;
    }
    Ok(())
}
