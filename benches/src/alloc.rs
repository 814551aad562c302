//! The counting allocator: what chosen threads ask of the heap, and nobody else.
//!
//! Servers, progress bars and reports run on threads that are not counted, so a figure is that of the measured work
//! alone. Each counted thread owns a slot of its own: no shared word is touched while measuring. A thread that is not
//! counted reads one thread-local word per allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Slots; threads beyond this number share, which costs time but no accuracy.
const SLOTS: usize = 64;

/// The slot number of a thread that is not counted.
const UNCOUNTED: usize = usize::MAX;

#[repr(align(128))]
struct Slot {
    allocations: AtomicU64,
    bytes: AtomicU64,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        allocations: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    }
}; SLOTS];

static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Const-initialised and without a destructor: reading it allocates nothing and works to the thread's last breath.
    static SLOT: Cell<usize> = const { Cell::new(UNCOUNTED) };
}

/// Allocations and allocated bytes so far, over all counted threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Calls that asked for memory.
    pub allocations: u64,
    /// What they asked for, in bytes.
    pub bytes: u64,
}

impl Usage {
    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            allocations: self.allocations - earlier.allocations,
            bytes: self.bytes - earlier.bytes,
        }
    }

    /// Adds `more`.
    pub fn add(&mut self, more: Self) {
        self.allocations += more.allocations;
        self.bytes += more.bytes;
    }
}

/// Counts the calling thread from here on. A second call changes nothing.
pub fn count_this_thread() {
    SLOT.with(|slot| {
        if slot.get() == UNCOUNTED {
            // ORDERING: Relaxed; only the uniqueness of the number matters, which the read-modify-write gives.
            slot.set(NEXT_SLOT.fetch_add(1, Ordering::Relaxed) % SLOTS);
        }
    });
}

/// The sum over all counted threads.
#[must_use]
pub fn usage() -> Usage {
    let mut sum = Usage::default();
    for slot in &TABLE {
        // ORDERING: Relaxed; the figures of other threads are read after their tasks were joined, which orders them.
        sum.allocations += slot.allocations.load(Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        sum.bytes += slot.bytes.load(Ordering::Relaxed);
    }
    sum
}

fn record(bytes: usize) {
    let slot = SLOT.try_with(Cell::get).unwrap_or(UNCOUNTED);
    if let Some(slot) = TABLE.get(slot) {
        // ORDERING: Relaxed; a statistic that publishes nothing.
        slot.allocations.fetch_add(1, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        slot.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The system's allocator with a count in front of it. A `realloc` counts as one allocation of its new size.
#[derive(Debug)]
pub struct Counting;

// SAFETY: every method hands its arguments unchanged to `System` and returns what `System` returned, so the contract is kept
// by `System`; `record` neither allocates nor unwinds (a thread-local read without destructor, and two atomic additions).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        record(layout.size());
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract (a layout of non-zero size), passed on as it is.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        record(layout.size());
        // SAFETY: the caller keeps `GlobalAlloc::alloc_zeroed`'s contract (a layout of non-zero size), passed on as it is.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller says that `block` came from this allocator with this `layout`; every block of this allocator came
        // from `System` with the same layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        record(new_size);
        // SAFETY: the caller says that `block` came from this allocator with this `layout`, hence from `System`, and that
        // `new_size` is non-zero and does not overflow when rounded up to the alignment.
        unsafe { System.realloc(block, layout, new_size) }
    }
}
