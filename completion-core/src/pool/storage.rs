//! The memory of a pool: how it is laid out, made and freed.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::ptr::{self, NonNull};

use super::closing::Cause;
use super::holding::Holding;
use crate::home::Home;
use crate::shard::{self, Owner, Shard};
use crate::slot::Slot;
use crate::state::Word;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// What all handles share. `repr(C)` puts `owner` at its address.
///
/// Shards and slots are raw: slots point to shards and shards to `owner`, and a `Box` that is moved or
/// borrowed mutably would claim to be the only way to them.
#[repr(C)]
pub(super) struct Inner<T, E> {
    pub(super) owner: Owner,
    pub(super) slots: NonNull<[Padded<T, E>]>,
    pub(super) handles: AtomicUsize,
    /// Rounds over on sources that a shrinking freed.
    pub(super) returned_before: u64,
    pub(super) overflowed: AtomicUsize,
    pub(super) stale: AtomicUsize,
    /// What the pool was closed with; null before.
    pub(super) cause: AtomicPtr<Cause<E>>,
}

/// A slot on cache lines of its own, and at their beginning.
#[repr(C, align(64))]
pub(crate) struct Padded<T, E>(pub(super) Slot<T, E>);

/// Threads that rent at once find a shard of their own up to this number, capacity permitting.
const SPREAD: usize = 8;

/// How many shards a pool of `capacity` has: a power of two, for picking one by masking.
fn shards_for(capacity: usize) -> usize {
    let needed = capacity.div_ceil(shard::SLOTS).next_power_of_two();
    needed.max(SPREAD.min(capacity.next_power_of_two()))
}

fn leak<S>(items: Vec<S>) -> NonNull<[S]> {
    NonNull::from(Box::leak(items.into_boxed_slice()))
}

/// The `n`th of some items, without a reference to them all.
#[inline(always)]
pub(super) fn nth<S>(items: NonNull<[S]>, n: usize) -> *mut S {
    debug_assert!(n < items.len());
    // SAFETY: in bounds, say the callers.
    unsafe { items.as_ptr().cast::<S>().add(n) }
}

impl<T, E> Inner<T, E> {
    /// A pool with one handle and no round, whose slots begin with these words.
    pub(super) fn new(capacity: usize, word: impl Fn(usize) -> Word) -> NonNull<Self> {
        let count = shards_for(capacity);
        let inner = NonNull::from(Box::leak(Box::new(Self {
            owner: Owner::new(count, Self::free),
            slots: leak(Vec::new()),
            handles: AtomicUsize::new(1),
            returned_before: 0,
            overflowed: AtomicUsize::new(0),
            stale: AtomicUsize::new(0),
            cause: AtomicPtr::new(ptr::null_mut()),
        })));

        let mut shards = Vec::with_capacity(count);
        let mut first = 0;
        for shard in 0..count {
            let len = capacity / count + usize::from(shard < capacity % count);
            shards.push(Shard::new(first, len, inner.as_ptr().cast::<Owner>()));
            first += len;
        }
        let shards = leak(shards);

        let mut slots = Vec::with_capacity(capacity);
        for shard in 0..count {
            let shard = nth(shards, shard);
            // SAFETY: made above, and freed only with the pool.
            for bit in unsafe { (*shard).bits() } {
                let slot = Slot::new(Home::pooled(shard, bit), word(slots.len()));
                slots.push(Padded(slot));
            }
        }

        let slots = leak(slots);
        for shard in 0..count {
            // SAFETY: made above; nobody else knows of it yet, and slots only have its address.
            let shard = unsafe { &mut *nth(shards, shard) };
            // SAFETY: all the slots of the pool.
            unsafe { shard.place(slots.cast::<Padded<T, E>>()) };
        }

        // SAFETY: made above, and nobody else knows of it yet.
        let all = unsafe { &mut *inner.as_ptr() };
        all.owner.shards = shards;
        all.slots = slots;
        inner
    }

    /// Frees the pool whose `owner` this is.
    ///
    /// # Safety
    /// `owner` is the first field of an `Inner<T, E>` that nothing refers to any more.
    unsafe fn free(owner: *const Owner) {
        let inner = owner.cast_mut().cast::<Self>();
        // SAFETY: made by `Box::leak`, and nobody else frees it.
        let mut inner = unsafe { Box::from_raw(inner) };
        // Foreign code, so it comes last.
        let _holding = mem::replace(&mut inner.owner.holding, Holding::new());
        // SAFETY: as above; every slot is home, hence empty.
        drop(unsafe { Box::from_raw(inner.slots.as_ptr()) });
        // SAFETY: as above, and no slot is left to point to a shard.
        drop(unsafe { Box::from_raw(inner.owner.shards.as_ptr()) });
        // ORDERING: Relaxed; nothing refers to the pool, so all that was done to it happened before.
        let cause = inner.cause.load(Ordering::Relaxed);
        drop(inner);
        if !cause.is_null() {
            // SAFETY: from `Box::into_raw`, and nobody else frees it. Foreign code as well.
            drop(unsafe { Box::from_raw(cause) });
        }
    }
}
