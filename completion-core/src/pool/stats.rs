//! What a pool has done, derived from what it knows anyway.

use super::Pool;
use crate::round::SlotRef;
use crate::shard::Shard;
use crate::sync::Ordering;

impl<T, E> Pool<T, E> {
    /// What the pool has done so far.
    ///
    /// No round on its way writes anything for it that threads share: it is derived from the free bits, and
    /// from a count that each source keeps of its own; only a round that becomes held is counted, and
    /// when it is held no more. While rounds are under way the figures are of slightly different moments, so
    /// `rented`, which is a sum of two, may fall back a little; at rest they are exact, except
    /// `high_water`, which is an upper bound.
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::with_capacity(2);
    /// let _lent = pool.rent();
    /// let stats = pool.stats();
    /// assert_eq!((stats.capacity, stats.in_use, stats.rented), (2, 1, 1));
    /// ```
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let (mut capacity, mut in_use) = (0, 0);
        for shard in self.shards() {
            let (serving, out) = shard.usage();
            capacity += serving;
            in_use += out;
        }
        let inner = self.inner();
        let high_water = self.shards().iter().map(Self::ever_out).sum();
        let returned = self.returned();
        PoolStats {
            capacity,
            in_use,
            held: inner.owner.holding.count(),
            high_water,
            rented: returned + in_use as u64,
            returned,
            // ORDERING: Relaxed, twice; statistics.
            overflowed: inner.overflowed.load(Ordering::Relaxed) as u64,
            stale: inner.stale.load(Ordering::Relaxed) as u64,
        }
    }

    /// Rounds over on pooled sources.
    pub(super) fn returned(&self) -> u64 {
        let rounds = self.all().map(|slot| slot.rounds() as u64);
        self.inner().returned_before + rounds.sum::<u64>()
    }

    /// How many sources of a shard were ever out.
    fn ever_out(shard: &Shard) -> usize {
        // Looked at first: whatever is home by then has counted its round.
        let mut out = shard.out().peekable();
        let ever = |&bit: &u32| {
            out.next_if_eq(&bit).is_some() || Self::slot(shard.slot(bit)).rounds() != 0
        };
        shard.bits().filter(ever).count()
    }

    fn all(&self) -> impl Iterator<Item = SlotRef<T, E>> {
        (0..self.slots.len()).map(|number| self.nth(number))
    }

    /// Panics unless every source is home: for the end of a test, or of a connection.
    ///
    /// # Panics
    ///
    /// If a round is not over, at the caller's location. With the feature `diagnostics` the message says
    /// where each began.
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::new();
    /// drop(pool.rent());
    /// pool.assert_quiescent();
    /// ```
    #[track_caller]
    pub fn assert_quiescent(&self) {
        let in_use = self.stats().in_use;
        #[cfg(feature = "diagnostics")]
        let whence = self.outstanding();
        #[cfg(not(feature = "diagnostics"))]
        let whence = "the feature `diagnostics` tells where they began";
        assert!(
            in_use == 0,
            "{in_use} rounds of the pool are not over: {whence:#?}"
        );
    }
}

/// What a [`Pool`] has done so far; see [`Pool::stats`].
///
/// Counters wrap: per source at 2^32 on 32-bit targets, in practice never on others.
///
/// # Examples
///
/// ```
/// use completion_core::{Pool, PoolStats};
///
/// // What happened since the last look.
/// fn report(last: PoolStats, now: PoolStats) -> String {
///     let rounds = now.returned - last.returned; // `rented` may fall back, this only grows
///     let overflowed = now.overflowed - last.overflowed;
///     format!("{rounds} rounds, and {overflowed} for which {} sources were too few", now.capacity)
/// }
///
/// let pool = Pool::<u32, ()>::with_capacity(2);
/// let last = pool.stats();
/// let lent = [pool.rent(), pool.rent(), pool.rent()];
/// drop(lent);
/// assert_eq!(report(last, pool.stats()), "2 rounds, and 1 for which 2 sources were too few");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PoolStats {
    /// Sources that serve. Less than asked for only when some have used up their versions.
    pub capacity: usize,
    /// Sources out just now. Rounds that overflowed are not among them.
    pub in_use: usize,
    /// Of these, those that nobody waits for, and that are [held](crate::Completer::into_held_token)
    /// until the other side answers.
    pub held: usize,
    /// How many sources were ever out: an upper bound of how many were out at once, and near it, as a
    /// shard rents its lowest free source.
    pub high_water: usize,
    /// Sources lent so far: those that are home again, and those that are out.
    pub rented: u64,
    /// Rounds over on pooled sources.
    pub returned: u64,
    /// Rounds begun outside the pool because it was exhausted, or closed.
    pub overflowed: u64,
    /// Calls to complete, fail or cancel by a token whose round was over, or that never named one.
    pub stale: u64,
}
