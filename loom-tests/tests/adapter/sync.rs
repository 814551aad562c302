//! Stands in for completion-h2's `sync` module: the same names over loom's types.
//!
//! Two parts are other crates'. [`AtomicWaker`] is the one that comes with loom. [`ArrayQueue`] is a list in loom's lock:
//! bounded, first in first out, and ordering more than the original does.

#[path = "../../src/sync/watched.rs"]
mod watched;
#[path = "../../src/sync/weakened.rs"]
mod weakened;

use std::collections::VecDeque;
use std::task::Waker;

use loom::sync::atomic;

pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::Ordering;
pub(crate) use watched::Mutex;
pub use watched::explore;
use watched::watched;
pub use weakened::{at, changed};

watched! {
    AtomicU8: atomic::AtomicU8, u8: fetch_or = |found, operand| found | operand;
    AtomicU32: atomic::AtomicU32, u32:;
    AtomicUsize: atomic::AtomicUsize, usize:
        swap = |_, operand| operand,
        fetch_add = usize::wrapping_add,
        fetch_sub = usize::wrapping_sub,
        fetch_or = |found, operand| found | operand,
        fetch_and = |found, operand| found & operand;
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

/// Loom's.
#[derive(Debug)]
pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self(loom::future::AtomicWaker::new())
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.0.register_by_ref(waker);
    }

    pub(crate) fn wake(&self) {
        self.0.wake();
    }
}

/// The bounded queue.
pub(crate) struct ArrayQueue<T> {
    list: Mutex<VecDeque<T>>,
    capacity: usize,
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            list: Mutex::new(VecDeque::new()),
            capacity,
        }
    }

    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        let mut list = self.list.lock();
        if list.len() == self.capacity {
            return Err(value);
        }
        list.push_back(value);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.list.lock().pop_front()
    }
}

/// Something that is written on one thread, then read on others. Loom reports it if nothing orders the two.
pub(crate) struct Fact(loom::cell::UnsafeCell<u32>);

// SAFETY: loom checks each access.
unsafe impl Sync for Fact {}

impl Fact {
    pub(crate) fn new() -> Self {
        Self(loom::cell::UnsafeCell::new(0))
    }

    pub(crate) fn write(&self, value: u32) {
        // SAFETY: loom has checked that nobody else has access.
        self.0.with_mut(|it| unsafe { *it = value });
    }

    pub(crate) fn read(&self) -> u32 {
        // SAFETY: loom has checked that nobody writes.
        self.0.with(|it| unsafe { *it })
    }
}
