//! How many pieces of request bodies h2 holds in one place, and whether the driver waits for the last of them.
//!
//! h2 does not tell when an upload has left, but it drops what has, on whichever thread it is called.

use crate::sync::{AtomicUsize, Ordering};

/// One piece.
const PIECE: usize = 2;
/// The driver waits for the last one.
const AWAITED: usize = 1;

#[derive(Debug)]
pub(crate) struct Pieces(AtomicUsize);

impl Pieces {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// h2 gets one more, from the driver.
    pub(crate) fn add(&self) {
        // ORDERING: Relaxed. Only the driver adds, and only it waits for the end.
        self.0.fetch_add(PIECE, Ordering::Relaxed);
    }

    /// h2 has dropped one. Returns whether the driver is to be told.
    #[must_use]
    pub(crate) fn drop_one(&self) -> bool {
        // ORDERING: Release; the piece is dropped when the driver sees it.
        if self.0.fetch_sub(PIECE, Ordering::Release) != PIECE | AWAITED {
            return false;
        }
        // ORDERING: Relaxed. Should the driver wait again meanwhile, it looks again at what it is told now.
        self.0.fetch_and(!AWAITED, Ordering::Relaxed);
        true
    }

    /// Whether h2 holds one, be it of an earlier stream. If so, the driver is told when it does not any more.
    pub(crate) fn are_awaited(&self) -> bool {
        // ORDERING: Acquire, both, pairs with the release of the last piece's end: its data is dropped.
        self.0.load(Ordering::Acquire) >= PIECE
            && self.0.fetch_or(AWAITED, Ordering::Acquire) >= PIECE
    }
}
