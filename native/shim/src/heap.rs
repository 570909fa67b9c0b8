//! The allocator of the native binary. It is fast with small blocks, which musl's is not, and it returns free pages in the middle of its
//! heap to the kernel, too. A shim lives as long as its container, so without this it would keep the memory of its launch.

use dlmalloc::{Allocator, Dlmalloc};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The program's global allocator, which uses [`HEAP`].
pub struct Heap;

// No other thread holds the lock when a shim is forked: this program has one thread.
static HEAP: Mutex<Dlmalloc<Pages>> = Mutex::new(Dlmalloc::new_with_allocator(Pages { closed: false }));

fn heap() -> MutexGuard<'static, Dlmalloc<Pages>> {
    HEAP.lock().unwrap_or_else(PoisonError::into_inner)
}

// SAFETY: dlmalloc's blocks are what the layout asks for, and the lock makes its calls one after another.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this function, which is dlmalloc's, too.
        unsafe { heap().malloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this function, which is dlmalloc's, too.
        unsafe { heap().free(block, layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this function, which is dlmalloc's, too.
        unsafe { heap().calloc(layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this function, which is dlmalloc's, too.
        unsafe { heap().realloc(block, layout.size(), layout.align(), size) }
    }
}

/// Continues with an empty heap and unmaps the old one: in a fork, each page that the other process still writes to would be copied. `keep`
/// allocates again the values that are needed later.
///
/// # Safety
///
/// Nothing that was allocated before may be used or freed after this call: not by the caller, nor by its callers, to which control must
/// never return, nor by a static.
pub unsafe fn begin_anew<T>(keep: impl FnOnce() -> T) -> T {
    let old = std::mem::replace(&mut *heap(), Dlmalloc::new_with_allocator(Pages { closed: false }));
    let kept = keep();
    // SAFETY: as promised.
    unsafe { old.destroy() };
    kept
}

/// Returns every free whole page to the kernel: mappings that hold nothing, the ends of other mappings, and pages between blocks that are
/// in use. To find the latter, it allocates all free blocks that are larger than a page, and frees them again.
pub fn give_back() {
    const PAGE: usize = 4096;
    let mut heap = heap();
    // SAFETY: nothing that is in use is touched: the blocks are this function's own until it frees them, and their contents are nobody's.
    unsafe {
        heap.trim(0);
        heap.allocator_mut().closed = true;
        let mut taken = [(ptr::null_mut(), 0); 64];
        let mut count = 0;
        let mut size = 64 * PAGE;
        while size > PAGE && count < taken.len() {
            let block = heap.malloc(size, 16);
            if block.is_null() {
                size -= size / 8;
                continue;
            }
            let (from, to) = ((block as usize).next_multiple_of(PAGE), (block as usize + size) & !(PAGE - 1));
            if from < to {
                libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED);
            }
            taken[count] = (block, size);
            count += 1;
        }
        for (block, size) in taken[..count].iter().rev() {
            heap.free(*block, *size, 16);
        }
        heap.allocator_mut().closed = false;
    }
}

/// Source of the heap's pages: anonymous mappings.
struct Pages {
    /// True: allocate no more mappings; only free blocks of existing mappings are handed out.
    closed: bool,
}

// SAFETY: what `alloc` answers is a mapping of its own, zeroed, of the size that it says; the others change only such mappings.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        const NONE: (*mut u8, usize, u32) = (ptr::null_mut(), 0, 0);
        if self.closed {
            return NONE;
        }
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new private mapping, wherever the kernel wants it.
        match unsafe { libc::mmap(ptr::null_mut(), size, access, kind, -1, 0) } {
            libc::MAP_FAILED => NONE,
            pages => (pages.cast(), size, 0),
        }
    }

    fn remap(&self, pages: *mut u8, from: usize, to: usize, can_move: bool) -> *mut u8 {
        let flags = if can_move { libc::MREMAP_MAYMOVE } else { 0 };
        // SAFETY: dlmalloc names a mapping that `alloc` has made, of this size.
        match unsafe { libc::mremap(pages.cast(), from, to, flags) } {
            libc::MAP_FAILED => ptr::null_mut(),
            pages => pages.cast(),
        }
    }

    fn free_part(&self, pages: *mut u8, from: usize, to: usize) -> bool {
        // SAFETY: the end of a mapping that `alloc` has made, in which dlmalloc has nothing.
        unsafe { libc::munmap(pages.add(to).cast(), from - to) == 0 }
    }

    fn free(&self, pages: *mut u8, size: usize) -> bool {
        // SAFETY: a mapping that `alloc` has made, in which dlmalloc has nothing.
        unsafe { libc::munmap(pages.cast(), size) == 0 }
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a page is in memory. A page that is not mapped any more is not.
    fn is_resident(page: usize) -> bool {
        let mut answer = 0u8;
        // SAFETY: a page's address, and room for its answer.
        let mapped = unsafe { libc::mincore(page as *mut libc::c_void, 4096, &mut answer) == 0 };
        mapped && answer & 1 == 1
    }

    /// The test program has another global allocator, so this whole heap belongs to the test.
    #[test]
    fn free_pages_are_returned_and_live_blocks_stay() {
        let layout = Layout::from_size_align(1000, 8).unwrap();
        // SAFETY: blocks of this layout, freed once.
        unsafe {
            let blocks: Vec<*mut u8> = (0..2000).map(|_| Heap.alloc(layout)).collect();
            for (at, block) in blocks.iter().enumerate() {
                block.write_bytes(at as u8, 1000);
            }
            let (kept, freed): (Vec<_>, Vec<_>) = blocks.iter().enumerate().partition(|(at, _)| at % 100 == 0);
            freed.iter().for_each(|(_, block)| Heap.dealloc(**block, layout));
            let pages = |of: &[(usize, &*mut u8)]| {
                of.iter()
                    .map(|(_, block)| **block as usize & !4095)
                    .collect::<std::collections::BTreeSet<_>>()
            };
            let gone: Vec<usize> = pages(&freed).difference(&pages(&kept)).copied().collect();
            assert!(gone.iter().filter(|page| is_resident(**page)).count() > 400);
            give_back();
            // The allocator keeps its own data at the two ends of a free block.
            assert!(gone.iter().filter(|page| is_resident(**page)).count() <= 3 * kept.len());
            for (at, block) in &kept {
                assert!(std::slice::from_raw_parts(**block, 1000).iter().all(|byte| *byte == *at as u8));
            }
            let again: Vec<*mut u8> = (0..2000).map(|_| Heap.alloc_zeroed(layout)).collect();
            assert!(
                again
                    .iter()
                    .all(|block| std::slice::from_raw_parts(*block, 1000).iter().all(|byte| *byte == 0))
            );
            again.iter().for_each(|block| Heap.dealloc(*block, layout));
            for (at, block) in &kept {
                assert!(std::slice::from_raw_parts(**block, 1000).iter().all(|byte| *byte == *at as u8));
                Heap.dealloc(**block, layout);
            }
        }
    }
}
