//! A line: the place of one connection of the baseline clients, which have no `Connector`. When the connection ends, or has
//! seen too many dropped requests, the next request opens another one.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Failure;

/// Dropped requests that a connection bears before it is replaced: below what nghttpd and h2 servers tolerate.
const DROP_BUDGET: u32 = 800;

/// Whether a connection may be used for one more request.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    retired: AtomicBool,
    dropped: AtomicU32,
}

impl Standing {
    /// No further request goes here; those under way go on.
    pub(super) fn retire(&self) {
        // ORDERING: Relaxed; a hint. Whoever misses it sends a request that is refused as unprocessed and sent elsewhere.
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn usable(&self) -> bool {
        // ORDERING: Relaxed; a hint, as in `retire`.
        !self.retired.load(Ordering::Relaxed) && self.dropped.load(Ordering::Relaxed) < DROP_BUDGET
    }

    /// To hold while a request is under way.
    pub(super) fn under_way(&self) -> UnderWay<'_> {
        UnderWay(self)
    }
}

/// Counts a request that is dropped before its end.
#[must_use = "dropping it at once counts a dropped request"]
pub(super) struct UnderWay<'a>(&'a Standing);

impl UnderWay<'_> {
    /// The request came to its end.
    pub(super) fn finish(self) {
        std::mem::forget(self);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed; a budget with room to spare.
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// An open connection, shared by the workers of its line.
pub(crate) struct Live<C> {
    pub(super) standing: Arc<Standing>,
    pub(super) connection: C,
}

/// The place of one connection.
pub(super) struct Line<C> {
    current: Mutex<Option<Arc<Live<C>>>>,
    /// Held by the one who dials; remembers how the last attempt failed.
    dialling: tokio::sync::Mutex<Option<Failure>>,
    attempts: AtomicU64,
    opened: AtomicU64,
}

impl<C> Line<C> {
    pub(super) fn new() -> Self {
        Self {
            current: Mutex::new(None),
            dialling: tokio::sync::Mutex::new(None),
            attempts: AtomicU64::new(0),
            opened: AtomicU64::new(0),
        }
    }

    /// The open connection, or a new one from `open`. Those who wait for the same attempt share its failure.
    pub(super) async fn get<F>(
        &self,
        open: impl FnOnce(Arc<Standing>) -> F,
    ) -> Result<Arc<Live<C>>, Failure>
    where
        F: Future<Output = Result<C, Failure>>,
    {
        if let Some(live) = self.current() {
            return Ok(live);
        }
        // ORDERING: Relaxed; it is written under `dialling` only, and a stale value costs one more attempt.
        let seen = self.attempts.load(Ordering::Relaxed);
        let mut last = self.dialling.lock().await;
        if let Some(live) = self.current() {
            return Ok(live);
        }
        // ORDERING: Relaxed; the lock orders it.
        if self.attempts.load(Ordering::Relaxed) != seen
            && let Some(failure) = *last
        {
            return Err(failure);
        }
        let standing = Arc::new(Standing::default());
        let outcome = open(Arc::clone(&standing)).await;
        // ORDERING: Relaxed; the lock orders it.
        self.attempts.fetch_add(1, Ordering::Relaxed);
        *last = outcome.as_ref().err().copied();
        let live = Arc::new(Live {
            standing,
            connection: outcome?,
        });
        // ORDERING: Relaxed; a statistic, read after the run.
        self.opened.fetch_add(1, Ordering::Relaxed);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&live));
        Ok(live)
    }

    /// How often a connection took the place of another one.
    pub(super) fn reconnects(&self) -> u64 {
        // ORDERING: Relaxed; a statistic that publishes nothing.
        self.opened.load(Ordering::Relaxed).saturating_sub(1)
    }

    fn current(&self) -> Option<Arc<Live<C>>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone().filter(|live| live.standing.usable())
    }
}
