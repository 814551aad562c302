//! Stands in for completion-core's `sync` module: the same names over shuttle's types.

pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU64 as AtomicRaw, AtomicUsize, Ordering};

include!("../shared/sync.rs");

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
