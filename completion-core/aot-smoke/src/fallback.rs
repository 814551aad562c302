//! The fallback, a pool of capacity 0: every round has a box of its own. And the allocator for it.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;

use completion_core::Pool;

use crate::atomic::{AtomicUsize, Ordering};
use crate::report::Report;
use crate::rounds;

const SIZE: usize = 4096;

/// Gives memory out once, one piece after the other, and counts what comes back.
#[repr(C, align(128))]
struct Arena {
    memory: UnsafeCell<[MaybeUninit<u8>; SIZE]>,
    top: AtomicUsize,
    pieces: AtomicUsize,
    alive: AtomicUsize,
}

// SAFETY: `memory` is reached only through pointers that `alloc` made, and no two pieces overlap.
unsafe impl Sync for Arena {}

// SAFETY: a piece lies inside `memory`, aligned as asked, and nobody else ever gets a part of it.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let place = |top: usize| {
            let start = top.checked_next_multiple_of(layout.align())?;
            let end = start.checked_add(layout.size())?;
            (end <= SIZE && layout.align() <= align_of::<Self>()).then_some((start, end))
        };
        let claimed = self
            .top
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |top| {
                place(top).map(|(_, end)| end)
            });
        let Some((start, _)) = claimed.ok().and_then(place) else {
            return ptr::null_mut();
        };
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.alive.fetch_add(1, Ordering::Relaxed);
        self.memory.get().cast::<u8>().wrapping_add(start)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

#[global_allocator]
static ARENA: Arena = Arena {
    memory: UnsafeCell::new([MaybeUninit::uninit(); SIZE]),
    top: AtomicUsize::new(0),
    pieces: AtomicUsize::new(0),
    alive: AtomicUsize::new(0),
};

/// Runs the rounds of both instantiations in boxes.
pub(crate) fn run(report: &Report) {
    let pool = Pool::with_capacity(0);
    let done = rounds::flag(report, "boxed bool", || Some(pool.rent())).is_some();
    let token = pool.rent().0.into_token();
    report.check("boxed bool", "has no token to go stale", token.is_err());
    drop(token);
    let counted = pool.stats().overflowed == 4 && pool.stats().rented == 0;
    report.check("boxed bool", "every round begun", done && counted);
    drop(pool);

    let pool = Pool::with_capacity(0);
    let before = ARENA.pieces.load(Ordering::Relaxed);
    let done = rounds::response(report, "boxed response", || Some(pool.rent())).is_some();
    let boxes = ARENA.pieces.load(Ordering::Relaxed) - before;
    let counted = pool.stats().overflowed == 5 && boxes == 5;
    report.check("boxed response", "one box for every round", done && counted);
    drop(pool);

    let freed = ARENA.alive.load(Ordering::Relaxed) == 0;
    report.check("memory", "everything was freed", freed);
}
