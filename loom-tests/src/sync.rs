//! Stands in for completion-core's `sync` module: the same names over loom's types.
//!
//! Versions and waker generations are two bits wide, so that a model reaches every wrap.

mod weakened;

use std::cell::Cell;

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::Ordering;

pub(crate) type Raw = u32;
pub(crate) const GENERATION_BITS: u32 = 2;
pub(crate) const VERSION_BITS: u32 = 2;

pub(crate) const fn widen(raw: Raw) -> u64 {
    raw as u64
}

pub(crate) use loom::cell::UnsafeCell;
use weakened::split;
pub use weakened::{at, changed};

thread_local! {
    static TOUCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `model` so that loom tries the orders that it misses otherwise.
///
/// Loom remembers one last access to each atomic, so a thread's own load hides that of another from its
/// exchange: that the exchange comes first is never tried. Before each access we make one to an atomic
/// beside it, a read-modify-write, which hides nothing; relaxed, so that it orders nothing. It also
/// squares the number of orders: such a model needs a bound.
pub fn touching(model: impl FnOnce()) {
    TOUCHING.set(true);
    model();
    TOUCHING.set(false);
}

/// Loom's atomics, with two things added.
///
/// They look at their end: loom then checks that every access to them happened before the memory is freed.
///
/// And where a model asks for it, they make another access before each of their own, to an atomic of which
/// nothing depends; see [`touching`].
macro_rules! watched {
    ($($name:ident $(<$parameter:ident>)?: $loom:ty, $value:ty: $($operation:ident = $apply:expr),*;)*) => {$(
        pub(crate) struct $name $(<$parameter>)? {
            atomic: $loom,
            touched: atomic::AtomicBool,
        }

        impl $(<$parameter>)? $name $(<$parameter>)? {
            pub(crate) fn new(value: $value) -> Self {
                Self { atomic: <$loom>::new(value), touched: atomic::AtomicBool::new(false) }
            }

            fn touch(&self) -> &$loom {
                if TOUCHING.get() {
                    self.touched.swap(true, Ordering::Relaxed);
                }
                &self.atomic
            }

            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                self.touch().load(ordering)
            }

            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                self.touch().store(value, ordering);
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                if let Some((load, store)) = split(success) {
                    let found = self.load(load);
                    if found != current {
                        return Err(found);
                    }
                    self.store(new, store);
                    return Ok(found);
                }
                self.touch().compare_exchange(current, new, success, failure)
            }

            $(pub(crate) fn $operation(&self, operand: $value, ordering: Ordering) -> $value {
                if let Some((load, store)) = split(ordering) {
                    let found = self.load(load);
                    self.store($apply(found, operand), store);
                    return found;
                }
                self.touch().$operation(operand, ordering)
            })*
        }

        impl $(<$parameter>)? Drop for $name $(<$parameter>)? {
            fn drop(&mut self) {
                self.atomic.with_mut(|_| ());
            }
        }
    )*};
}

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
