//! Work on files as another user than the caller's, without losing the caller's capabilities.

use super::prctl;
use crate::failure::Result;

/// Runs `work` with the file-system ids `uid` and `gid` (setfsuid(2)). What is made where ids are mapped must belong to somebody there; an
/// overlay works with the ids of its maker and is read-only without a word where they have no meaning. The capabilities stay, which a
/// change of the file-system uid takes away otherwise.
pub fn as_owner<T>((uid, gid): (u32, u32), work: impl FnOnce() -> Result<T>) -> Result<T> {
    const NO_SETUID_FIXUP: u64 = 4;
    let before = prctl(libc::PR_GET_SECUREBITS, 0, 0, "PR_GET_SECUREBITS")?;
    prctl(libc::PR_SET_SECUREBITS, before as u64 | NO_SETUID_FIXUP, 0, "PR_SET_SECUREBITS")?;
    let own = set(uid, gid);
    let result = work();
    set(own.0, own.1);
    prctl(libc::PR_SET_SECUREBITS, before as u64, 0, "PR_SET_SECUREBITS")?;
    result
}

/// Answers the ids before. rustix has neither call.
fn set(uid: u32, gid: u32) -> (u32, u32) {
    // SAFETY: plain numbers; both answer the id before and never fail.
    unsafe { (libc::setfsuid(uid) as u32, libc::setfsgid(gid) as u32) }
}
