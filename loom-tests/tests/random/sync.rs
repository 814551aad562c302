//! Stands in for completion-core's `sync` module: the same names over shuttle's types.

pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU64 as AtomicRaw, AtomicUsize, Ordering};

pub(crate) type Raw = u64;
/// Few, so that saturation is reached.
pub(crate) const GENERATION_BITS: u32 = 2;
pub(crate) const VERSION_BITS: u32 = 48;

pub(crate) const fn widen(raw: Raw) -> u64 {
    raw
}

pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}

pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

/// Shuttle's types cannot be built at compile time: `const` is left out.
macro_rules! constructor {
    ($(#[$attribute:meta])* $visibility:vis const fn $($item:tt)*) => {
        $(#[$attribute])* $visibility fn $($item)*
    };
}
pub(crate) use constructor;

/// Every thread starts at the same shard: the hardest case.
pub(crate) fn thread_hint() -> usize {
    0
}
