//! Two wakers that wake nothing and count no references: what a round adds to the cost of an executor's waker, which is
//! the same for all contestants, is measured without it.

use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, ignore, ignore, ignore);
static FIRST: Waker = waker(1);
static SECOND: Waker = waker(2);

const fn waker(task: usize) -> Waker {
    // SAFETY: no function of the table touches the data, which only tells the two wakers apart.
    unsafe { Waker::new(ptr::without_provenance(task), &VTABLE) }
}

fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}

fn ignore(_data: *const ()) {}

/// The waker of one task.
pub(crate) fn first() -> &'static Waker {
    &FIRST
}

/// The waker of another task.
pub(crate) fn second() -> &'static Waker {
    &SECOND
}
