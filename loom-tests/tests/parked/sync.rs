//! Stands in for completion-core's `sync` module: the machine's atomics, with a hook before each operation.

use std::sync::atomic;
pub(crate) use std::sync::atomic::Ordering;

use crate::gate::{is_counted, step};

include!("../shared/sync.rs");

macro_rules! hooked {
    ($($name:ident $(<$parameter:ident>)?: $atomic:ty, $value:ty, $($operation:ident)*;)*) => {$(
        pub(crate) struct $name $(<$parameter>)? ($atomic);

        impl $(<$parameter>)? $name $(<$parameter>)? {
            pub(crate) const fn new(value: $value) -> Self {
                Self(<$atomic>::new(value))
            }

            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                step();
                self.0.load(ordering)
            }

            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                step();
                self.0.store(value, ordering);
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step();
                self.0.compare_exchange(current, new, success, failure)
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            $(pub(crate) fn $operation(&self, operand: $value, ordering: Ordering) -> $value {
                step();
                self.0.$operation(operand, ordering)
            })*
        }
    )*};
}

hooked! {
    AtomicRaw: atomic::AtomicU64, u64, fetch_sub;
    AtomicUsize: atomic::AtomicUsize, usize, fetch_add fetch_sub fetch_or fetch_and;
    AtomicPtr<T>: atomic::AtomicPtr<T>, *mut T, ;
}

/// A lock that nobody may wait for whose steps are counted.
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        step();
        if is_counted() {
            return self.0.try_lock().expect("a lock that a parked thread has");
        }
        self.0.lock().unwrap()
    }
}

macro_rules! constructor {
    ($($item:tt)*) => { $($item)* };
}
pub(crate) use constructor;
