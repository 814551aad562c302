//! Stands in for completion-core's `sync` module: the same names over loom's types.
//!
//! Versions and waker generations are two bits wide, so that a model reaches every wrap.

mod watched;
mod weakened;

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::Ordering;

pub(crate) type Raw = u32;
pub(crate) const GENERATION_BITS: u32 = 2;
pub(crate) const VERSION_BITS: u32 = 2;

pub(crate) const fn widen(raw: Raw) -> u64 {
    raw as u64
}

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use watched::Mutex;
pub use watched::explore;
use watched::watched;
pub use weakened::{at, changed};

watched! {
    AtomicRaw: atomic::AtomicU32, u32: fetch_sub = u32::wrapping_sub;
    AtomicUsize: atomic::AtomicUsize, usize:
        fetch_add = usize::wrapping_add,
        fetch_sub = usize::wrapping_sub,
        fetch_or = |found, operand| found | operand,
        fetch_and = |found, operand| found & operand;
    AtomicPtr<T>: atomic::AtomicPtr<T>, *mut T:;
}

impl AtomicUsize {
    pub(crate) fn compare_exchange_weak(
        &self,
        current: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.compare_exchange(current, new, success, failure)
    }
}

/// A plain store, the weaker of the two that it can be.
pub(crate) fn store_locked(word: &AtomicRaw, raw: Raw, ordering: Ordering) {
    word.store(raw, ordering);
}

/// Loom's types cannot be built at compile time: `const` is left out.
macro_rules! constructor {
    ($(#[$attribute:meta])* $visibility:vis const fn $($item:tt)*) => {
        $(#[$attribute])* $visibility fn $($item)*
    };
}
pub(crate) use constructor;

/// Every thread starts at the same shard: the hardest case, and the same in every execution.
pub(crate) fn thread_hint() -> usize {
    0
}
