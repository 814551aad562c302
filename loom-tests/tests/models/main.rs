//! The models, one file a rule. Exhaustive unless a file says otherwise.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

mod begin_follows_leaving;
mod begin_follows_release;
mod close;
mod complete_and_drop;
mod consumer_drop;
mod deadline;
mod exhaustion;
mod first_poll;
mod grid;
mod held_token;
mod last_return_frees_the_pool;
mod new_waker;
mod pending;
mod pool_close;
mod share_and_drop;
mod shrink;
mod static_pool;
mod stats;
mod status;
mod tail_of_complete_and_next_round;
mod tokens_and_cancel;
mod try_take;
mod waiting_rent;
mod waker_generations_wrap;
mod watched;

/// Counts pools: only their shards are aligned to two cache lines.
struct PoolCount;

const POOL_ALIGNMENT: usize = 128;

thread_local! {
    // A model runs on one system thread, whatever its own threads.
    static POOLS: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator, with counting that allocates nothing.
unsafe impl GlobalAlloc for PoolCount {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() == POOL_ALIGNMENT {
            POOLS.set(POOLS.get() + 1);
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        if layout.align() == POOL_ALIGNMENT {
            POOLS.set(POOLS.get() - 1);
        }
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(address, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: PoolCount = PoolCount;

/// Explores `body`; see [`loom_tests::explore`]. Every execution must free its pools.
fn check(preemptions: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    loom_tests::explore(preemptions, move || {
        let before = POOLS.get();
        body();
        assert_eq!(POOLS.get(), before, "a pool was not freed, or not once");
    });
}

/// What [`check`] relies on: if pools are laid out differently, [`PoolCount`] counts none.
#[test]
fn a_pool_is_counted_once() {
    loom_tests::explore(None, || {
        let before = POOLS.get();
        let pool = loom_tests::Pool::<u32, ()>::with_capacity(1);
        assert_eq!(POOLS.get(), before + 1);
        drop(pool);
        assert_eq!(POOLS.get(), before);
    });
}
