//! Rounds that are held: nobody waits for them any more, and the other side has yet to answer.

use crate::sync::{AtomicUsize, Ordering};

/// How many rounds of a pool are held, and who wants to know of it.
pub(crate) struct Holding {
    /// Wraps below 0 for a moment when an answer is counted before what it answers.
    count: AtomicUsize,
    #[cfg(feature = "pending-map")]
    report: Option<Report>,
}

/// Foreign code, called by whoever makes the number of held rounds rise to a threshold.
#[cfg(feature = "pending-map")]
pub(crate) struct Report {
    pub(crate) threshold: usize,
    pub(crate) call: alloc::boxed::Box<dyn Fn(usize) + Send + Sync>,
}

impl Holding {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            #[cfg(feature = "pending-map")]
            report: None,
        }
    }

    pub(crate) fn count(&self) -> usize {
        // ORDERING: Relaxed; a statistic.
        let count = self.count.load(Ordering::Relaxed).cast_signed();
        count.max(0).cast_unsigned()
    }

    /// One more is held. Calls foreign code, perhaps.
    pub(crate) fn one_more(&self) {
        // ORDERING: Relaxed; the count orders nothing, and what the report needs was there before the
        // pool's first round.
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        self.report(before.wrapping_add(1));
    }

    #[cfg(feature = "pending-map")]
    fn report(&self, count: usize) {
        if let Some(report) = &self.report
            && report.threshold == count
        {
            (report.call)(count);
        }
    }

    #[cfg(not(feature = "pending-map"))]
    fn report(&self, _count: usize) {}

    pub(crate) fn one_less(&self) {
        // ORDERING: Relaxed; as above.
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a pending map needs to know of its pool.
#[cfg(feature = "pending-map")]
mod by_map {
    use super::{Holding, Report};
    use crate::pool::{Inner, Pool};
    use crate::round::SlotRef;
    use crate::state::Word;
    use crate::token::Token;

    impl<T, E> Pool<T, E> {
        /// A pool of `capacity` sources that reports held rounds.
        pub(crate) fn reporting(capacity: u16, report: Option<Report>) -> Self {
            let inner = Inner::new(usize::from(capacity), |_| Word::NEW.begun());
            // SAFETY: just made, and nobody else knows of it yet.
            let owner = unsafe { &mut (*inner.as_ptr()).owner };
            owner.holding = Holding {
                report,
                ..Holding::new()
            };
            Self::of(inner)
        }

        /// Takes the hold off the round that `token` names; false if it is not held.
        pub(crate) fn let_go(&self, token: Token) -> bool {
            SlotRef::let_go_named(self.named(token), token)
        }

        /// Whether somebody waits for the round that `token` names, or it is held.
        #[cfg(feature = "std")]
        pub(crate) fn is_taken(&self, token: Token) -> bool {
            self.named(token).is_some_and(|slot| {
                let word = slot.peek();
                word.is_round_of(token.version()) && (word.is_pending() || word.is_held())
            })
        }

        /// How many sources the pool has, retired ones too.
        pub(crate) fn capacity(&self) -> usize {
            self.slots.len()
        }

        /// How many of them are out.
        pub(crate) fn in_use(&self) -> usize {
            self.shards().iter().map(|shard| shard.usage().1).sum()
        }

        /// How many of those are held.
        pub(crate) fn held(&self) -> usize {
            self.inner().owner.holding.count()
        }
    }
}
