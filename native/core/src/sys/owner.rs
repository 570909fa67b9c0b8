//! Work on files with another user's ids, without losing the caller's capabilities.

use super::prctl;
use crate::failure::Result;

/// Runs `work` with the file-system ids `uid` and `gid` (setfsuid(2)). On a mount with mapped ids, the owner of new files must be mapped.
/// An overlay uses the ids of the process that mounts it, and becomes read-only without an error if they are not mapped. The capabilities
/// stay; without NO_SETUID_FIXUP a change of the file-system uid would drop them.
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

/// Sets the ids and returns the earlier ones. rustix has neither call.
fn set(uid: u32, gid: u32) -> (u32, u32) {
    // SAFETY: plain numbers; both answer the id before and never fail.
    unsafe { (libc::setfsuid(uid) as u32, libc::setfsgid(gid) as u32) }
}
