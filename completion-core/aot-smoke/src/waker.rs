//! A waker that counts, and that nothing owns.

use core::future::Future;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::atomic::{AtomicUsize, Ordering};

static WAKES: AtomicUsize = AtomicUsize::new(0);
static WAKERS: AtomicUsize = AtomicUsize::new(0);

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        WAKERS.fetch_add(1, Ordering::Relaxed);
        RawWaker::new(data, &TABLE)
    },
    |_| {
        WAKES.fetch_add(1, Ordering::Relaxed);
        WAKERS.fetch_sub(1, Ordering::Relaxed);
    },
    |_| {
        WAKES.fetch_add(1, Ordering::Relaxed);
    },
    |_| {
        WAKERS.fetch_sub(1, Ordering::Relaxed);
    },
);

/// How often wakers were woken since the last call.
pub(crate) fn wakes() -> usize {
    WAKES.swap(0, Ordering::Relaxed)
}

/// Whether a waker was woken since the last call of [`wakes`].
#[cfg(all(target_arch = "arm", target_os = "none"))]
pub(crate) fn is_woken() -> bool {
    WAKES.load(Ordering::Relaxed) != 0
}

/// How many wakers there are.
pub(crate) fn wakers() -> usize {
    WAKERS.load(Ordering::Relaxed)
}

/// Polls once, with a waker that is gone afterwards unless the future keeps a clone.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    WAKERS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the table's functions count and touch no data, so they are sound for any.
    let waker = unsafe { Waker::new(ptr::null(), &TABLE) };
    match Pin::new(future).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
