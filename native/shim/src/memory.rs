//! What a shim weighs. It shares every page with the launcher that neither has written since the fork; the rest is its own, times the number of containers.

/// Before the first allocation: what is large comes as a mapping of its own, and is gone when it is freed.
pub fn keep_small() {
    // SAFETY: settings of the allocator, which no other thread uses.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 4 << 10);
        libc::mallopt(libc::M_TOP_PAD, 0);
        // No bins that keep small pieces apart: what is free joins, and whole pages can go back.
        libc::mallopt(libc::M_MXFAST, 0);
    }
}

/// Frees what is free in the heap, and the part of the stack that deeper calls have used.
pub fn give_back() {
    // SAFETY: no other thread uses the allocator.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    const PAGE: usize = 4096;
    const DEEPEST: usize = 1 << 20;
    let here = 0u8;
    // Some way below this frame, so that the call itself has room.
    let end = ((&raw const here) as usize & !(PAGE - 1)) - 2 * PAGE;
    // SAFETY: below the stack pointer nothing is alive; where the stack does not reach that far down, madvise says so and has done the rest.
    for page in (end - DEEPEST..end).step_by(PAGE).rev() {
        if unsafe { libc::madvise(page as *mut libc::c_void, PAGE, libc::MADV_DONTNEED) } != 0 {
            break;
        }
    }
}
