// What the two `sync` modules have in common that stand in for completion-core's on real words: included in each.

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

/// Every thread starts at the same shard: the hardest case.
pub(crate) fn thread_hint() -> usize {
    0
}

/// A plain store, the weaker of the two that it can be.
pub(crate) fn store_locked(word: &AtomicRaw, raw: Raw, ordering: Ordering) {
    word.store(raw, ordering);
}
