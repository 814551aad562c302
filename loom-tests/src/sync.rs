//! Stands in for completion-core's `sync` module: the same names over loom's types.
//!
//! Versions and waker generations are two bits wide, so that a model reaches every wrap.

pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32 as AtomicRaw, AtomicUsize, Ordering};

pub(crate) type Raw = u32;
pub(crate) const GENERATION_BITS: u32 = 2;
pub(crate) const VERSION_BITS: u32 = 2;

pub(crate) use loom::cell::UnsafeCell;

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
