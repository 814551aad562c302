//! The only file that names atomics, cells and thread identity.
//!
//! Everything else reaches them through this facade, so that `loom-tests` can compile the very same
//! sources against loom's types by putting its own `sync` module in this place. Cell access is in
//! closure style because loom checks the extent of each access.

#[cfg(not(feature = "portable-atomic"))]
use core::sync::atomic;
#[cfg(feature = "portable-atomic")]
use portable_atomic as atomic;

pub(crate) use atomic::{AtomicPtr, AtomicUsize, Ordering};

/// How a state word is divided; see [`crate::state`].
#[cfg(all(target_has_atomic = "64", not(completion_narrow)))]
mod width {
    pub(crate) type Raw = u64;
    pub(crate) type AtomicRaw = super::atomic::AtomicU64;
    pub(crate) const GENERATION_BITS: u32 = 7;
    pub(crate) const VERSION_BITS: u32 = 48;

    pub(crate) const fn widen(raw: Raw) -> u64 {
        raw
    }
}

/// Targets without 64-bit atomics.
#[cfg(all(not(target_has_atomic = "64"), not(completion_narrow)))]
mod width {
    pub(crate) type Raw = u32;
    pub(crate) type AtomicRaw = super::atomic::AtomicU32;
    pub(crate) const GENERATION_BITS: u32 = 2;
    pub(crate) const VERSION_BITS: u32 = 21;

    pub(crate) const fn widen(raw: Raw) -> u64 {
        raw as u64
    }
}

/// The smallest legal widths, with which a test reaches every wrap in a few rounds.
#[cfg(completion_narrow)]
mod width {
    pub(crate) type Raw = u32;
    pub(crate) type AtomicRaw = super::atomic::AtomicU32;
    pub(crate) const GENERATION_BITS: u32 = 2;
    pub(crate) const VERSION_BITS: u32 = 2;

    pub(crate) const fn widen(raw: Raw) -> u64 {
        raw as u64
    }
}

pub(crate) use width::{AtomicRaw, GENERATION_BITS, Raw, VERSION_BITS, widen};

/// Stores; on x86-64 by an exchange, which no later load can overtake.
///
/// For a word that is stored between locked steps, and loaded again after them. AMD's Zen 3 tries such
/// loads too early when the store is a plain one, and begins anew: 15 ns a round, as
/// `docs/benchmarks.md` shows.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) fn store_locked(word: &AtomicRaw, raw: Raw, ordering: Ordering) {
    if cfg!(target_arch = "x86_64") {
        word.swap(raw, ordering);
    } else {
        word.store(raw, ordering);
    }
}

/// A cell whose every access states its extent.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// Hands out the pointer for one exclusive access; the caller argues why it is exclusive.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}

/// A lock that a panic does not poison: nothing that can panic runs under it.
#[cfg(feature = "std")]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

#[cfg(feature = "std")]
impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Declares a constructor that is `const` here and an ordinary function in a model, whose atomics
/// cannot be built at compile time.
macro_rules! constructor {
    ($($item:tt)*) => { $($item)* };
}
pub(crate) use constructor;

/// A number that differs between threads most of the time; only speed depends on it.
///
/// With `std` each thread draws the next number once.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn thread_hint() -> usize {
    use core::cell::Cell;

    static NEXT: AtomicUsize = AtomicUsize::new(1);
    std::thread_local! {
        static HINT: Cell<usize> = const { Cell::new(0) };
    }

    #[cold]
    fn draw() -> usize {
        // ORDERING: Relaxed; the counter orders nothing, it only spreads.
        let drawn = NEXT.fetch_add(1, Ordering::Relaxed).max(1);
        HINT.set(drawn);
        drawn
    }

    match HINT.get() {
        0 => draw(),
        hint => hint,
    }
}

/// A number that differs between threads most of the time; only speed depends on it.
///
/// Without `std` it is taken from the stack's address: stacks of threads are megabytes apart, and a
/// machine with one stack has one thread to serve.
#[cfg(not(feature = "std"))]
#[inline]
pub(crate) fn thread_hint() -> usize {
    let marker = 0u8;
    (&raw const marker).addr() >> 21
}
