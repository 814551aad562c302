//! Stands in for completion-core's `sync` module: the same names over loom's types.
//!
//! Versions and waker generations are two bits wide, so that a model reaches every wrap.

use std::ops::Deref;

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::Ordering;

pub(crate) type Raw = u32;
pub(crate) const GENERATION_BITS: u32 = 2;
pub(crate) const VERSION_BITS: u32 = 2;

pub(crate) const fn widen(raw: Raw) -> u64 {
    raw as u64
}

pub(crate) use loom::cell::UnsafeCell;

/// Loom's atomics, which also look at their end: loom then checks that every access to them happened
/// before the memory is freed.
macro_rules! watched {
    ($($name:ident $(<$parameter:ident>)?: $loom:ty, $value:ty;)*) => {$(
        pub(crate) struct $name $(<$parameter>)? ($loom);

        impl $(<$parameter>)? $name $(<$parameter>)? {
            pub(crate) fn new(value: $value) -> Self {
                Self(<$loom>::new(value))
            }
        }

        impl $(<$parameter>)? Deref for $name $(<$parameter>)? {
            type Target = $loom;

            fn deref(&self) -> &$loom {
                &self.0
            }
        }

        impl $(<$parameter>)? Drop for $name $(<$parameter>)? {
            fn drop(&mut self) {
                self.0.with_mut(|_| ());
            }
        }
    )*};
}

watched! {
    AtomicRaw: atomic::AtomicU32, u32;
    AtomicUsize: atomic::AtomicUsize, usize;
    AtomicPtr<T>: atomic::AtomicPtr<T>, *mut T;
}

/// Loom's lock.
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
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
