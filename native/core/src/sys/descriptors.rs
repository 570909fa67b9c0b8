//! The descriptors of the calling process as a whole (close_range(2), which rustix does not have).

use super::check;
use crate::failure::Result;
use std::os::fd::RawFd;

const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// Closes every descriptor above 2 that is not in `keep`.
///
/// # Safety
///
/// No value in this process may use or close one of the other descriptors afterwards.
pub unsafe fn close_all_but(keep: Vec<RawFd>) -> Result<()> {
    gaps(keep).into_iter().try_for_each(|(first, last)| close_range(first, last, 0))
}

/// Sets close-on-exec for every descriptor above 2.
pub fn close_on_exec() -> Result<()> {
    close_range(3, u32::MAX, CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, last: u32, flags: u32) -> Result<()> {
    // SAFETY: plain numbers. The callers answer for what they close.
    check(
        unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) },
        "close_range",
        None,
    )
    .map(drop)
}

/// The ranges of descriptors above 2 between those in `keep`.
fn gaps(mut keep: Vec<RawFd>) -> Vec<(u32, u32)> {
    keep.retain(|fd| *fd > 2);
    keep.sort_unstable();
    let mut gaps = Vec::new();
    let mut first = 3;
    for kept in keep.into_iter().map(|fd| fd as u32) {
        if first < kept {
            gaps.push((first, kept - 1));
        }
        first = first.max(kept + 1);
    }
    gaps.push((first, u32::MAX));
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_descriptors_are_in_no_gap() {
        const END: u32 = u32::MAX;
        assert_eq!(gaps(vec![]), [(3, END)]);
        assert_eq!(gaps(vec![0, 1, 2, -1]), [(3, END)]);
        assert_eq!(gaps(vec![3]), [(4, END)]);
        assert_eq!(gaps(vec![9, 5, 6]), [(3, 4), (7, 8), (10, END)]);
        assert_eq!(gaps(vec![5, 5]), [(3, 4), (6, END)]);
    }
}
