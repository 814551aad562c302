//! A bounded pool of sources.

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;

use crate::completer::Completer;
use crate::completion::Completion;
use crate::error::RentError;
use crate::home::Home;
use crate::round::{Round, SlotRef};
use crate::shard::Shard;
use crate::slot::Slot;
use crate::state::Word;
use crate::sync::{Ordering, thread_hint};
use crate::token::{Token, by_token};
use crate::trace;

mod closing;
mod holding;
mod shrinking;
mod stats;
mod storage;
#[cfg(feature = "std")]
mod waiting;

pub(crate) use closing::cause;
pub(crate) use holding::Holding;
#[cfg(feature = "pending-map")]
pub(crate) use holding::Report;
pub use shrinking::ShrinkError;
pub use stats::PoolStats;
use storage::Inner;
pub(crate) use storage::Padded;
#[cfg(feature = "std")]
pub use waiting::Rent;
#[cfg(feature = "std")]
pub(crate) use waiting::{Lease, Waiting};

/// A bounded pool of completion sources: allocated in the beginning, and nothing per round.
///
/// [`rent`](Self::rent) lends a source for one round. It comes back by itself, inside the poll that
/// takes the outcome, or with whichever handle leaves last. A full pool never blocks:
/// [`try_rent`](Self::try_rent) refuses, and [`rent`](Self::rent) allocates a source for that one
/// round. With capacity 0 every round does so, which makes the pool a plain one-shot factory.
///
/// A `Pool` is a handle; [`Clone`] makes another one to the same sources. Rounds outlive the pool: its
/// memory is freed when the last handle is dropped *and* the last source is home. A round whose handle
/// was [forgotten](core::mem::forget) keeps its source out, and the memory with it.
///
/// Only a handle can act by [token](crate::Token). Keep one for as long as tokens are out: when the last
/// handle is gone, nobody is left to complete a shared round, and its waiter waits for ever.
///
/// Rent, return and every operation on a round are lock-free, except that a round beyond the capacity
/// calls the allocator at both ends, and so does whoever is last of a pool; and that there is a short lock on
/// the list of those who wait for a source (`rent_async`), which a return takes while somebody waits, and a
/// rent that finds a source whose versions are used up. Free sources are found by
/// bits sharded over cache lines, and threads start at different ones; a rent from an exhausted pool
/// looks at all of them.
///
/// The counterpart of .NET's `ObjectPool<T>` of `ManualResetValueTaskSourceCore<T>`.
///
/// # Examples
///
/// ```
/// use completion_core::Pool;
///
/// let pool = Pool::<String, std::io::Error>::with_capacity(16);
/// let (completer, completion) = pool.rent();
/// std::thread::spawn(move || completer.complete("done".to_string()));
/// assert_eq!(futures_lite::future::block_on(completion)?, "done");
/// assert_eq!(pool.stats().in_use, 0);
/// # Ok::<(), completion_core::CompletionError<std::io::Error>>(())
/// ```
pub struct Pool<T, E> {
    inner: NonNull<Inner<T, E>>,
    /// Copies of what `inner` holds, so that a rent reads no line but its shard's and its slot's.
    shards: NonNull<[Shard]>,
    slots: NonNull<[Padded<T, E>]>,
    owns: PhantomData<Inner<T, E>>,
}

// SAFETY: a handle creates rounds, whose values and errors move between threads.
unsafe impl<T: Send, E: Send> Send for Pool<T, E> {}
// SAFETY: as above; every method that takes `&self` works on atomics and on slots it has taken out.
unsafe impl<T: Send, E: Send> Sync for Pool<T, E> {}

// Foreign code runs at quiet points only, so one that panics leaves nothing half done.
impl<T, E> UnwindSafe for Pool<T, E> {}
impl<T, E> RefUnwindSafe for Pool<T, E> {}

impl<T, E> Pool<T, E> {
    /// What [`new`](Self::new) makes room for.
    ///
    /// ```
    /// type Replies = completion_core::Pool<u32, ()>;
    /// let twice_as_many = Replies::with_capacity(2 * Replies::DEFAULT_CAPACITY);
    /// assert_eq!(twice_as_many.stats().capacity, 512);
    /// ```
    pub const DEFAULT_CAPACITY: u16 = 256;

    /// A pool of [256](Self::DEFAULT_CAPACITY) sources.
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::new();
    /// assert_eq!(pool.stats().capacity, 256);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// A pool of `capacity` sources; 0 is legal, and makes every round an overflow.
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::with_capacity(0);
    /// assert!(pool.try_rent().is_err());
    /// let (completer, mut completion) = pool.rent();
    /// completer.complete(7)?;
    /// assert_eq!(completion.try_take(), Some(Ok(7)));
    /// # Ok::<(), completion_core::Rejected<u32>>(())
    /// ```
    #[must_use]
    pub fn with_capacity(capacity: u16) -> Self {
        Self::of(Inner::new(usize::from(capacity), |_| Word::NEW.begun()))
    }

    /// The first handle to it.
    fn of(inner: NonNull<Inner<T, E>>) -> Self {
        // SAFETY: just made, and borrowed for this function.
        let all = unsafe { inner.as_ref() };
        Self {
            inner,
            shards: all.owner.shards,
            slots: all.slots,
            owns: PhantomData,
        }
    }

    fn inner(&self) -> &Inner<T, E> {
        // SAFETY: alive while a handle is, and never borrowed mutably once shared.
        unsafe { self.inner.as_ref() }
    }

    #[inline(always)]
    fn shards(&self) -> &[Shard] {
        // SAFETY: as for `inner`.
        unsafe { self.shards.as_ref() }
    }

    /// Rents a source for one round; if all are out, allocates one for just this round.
    ///
    /// A round of an allocated source behaves alike, but [has no
    /// token](crate::Completer::into_token), and its source is freed at its end.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::with_capacity(1);
    /// let first = pool.rent();
    /// let (completer, mut completion) = pool.rent();
    /// completer.complete(7)?;
    /// assert_eq!(completion.try_take(), Some(Ok(7)));
    /// assert_eq!(pool.stats().overflowed, 1);
    /// # Ok::<(), completion_core::Rejected<u32>>(())
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn rent(&self) -> Round<'static, T, E> {
        let own = self.own();
        let slot = match self.lend_easily(own) {
            Ok(slot) => slot,
            Err(taken) => match self.lend(own, taken) {
                Some(slot) => slot,
                None => self.overflow(),
            },
        };
        (Completer::new(slot), Completion::new(slot))
    }

    /// Rents a source for one round, if one is home.
    ///
    /// # Errors
    ///
    /// [`RentError::Exhausted`] if every shard, looked at in turn, had all its sources out;
    /// [`RentError::Closed`] after [`close`](Self::close); [`RentError::Retired`] when the versions of
    /// all sources are used up.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::with_capacity(1);
    /// let round = pool.try_rent()?;
    /// assert!(pool.try_rent().is_err());
    /// drop(round);
    /// assert!(pool.try_rent().is_ok());
    /// # Ok::<(), completion_core::RentError>(())
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn try_rent(&self) -> Result<Round<'static, T, E>, RentError> {
        let own = self.own();
        let slot = match self.lend_easily(own) {
            Ok(slot) => slot,
            Err(taken) => self.lend(own, taken).ok_or_else(|| self.why_not())?,
        };
        Ok((Completer::new(slot), Completion::new(slot)))
    }

    /// The shard at which this thread begins to look. It may be another one each time that this is asked.
    #[inline(always)]
    fn own(&self) -> usize {
        thread_hint() & (self.shards.len() - 1)
    }

    /// Begins a round on a source that is home in the shard `own`; if that is not easily done, a bit of it
    /// that was taken out, if so, and whose slot is not as it should be, or was not a moment ago.
    #[inline(always)]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    fn lend_easily(&self, own: usize) -> Result<SlotRef<T, E>, Option<u32>> {
        let shard = self.shard(own);
        let free = shard.easy().ok_or(None)?;
        let slot = Self::slot(shard.slot(free.trailing_zeros()));
        // Looked at before it is taken, and once more after: who completes it need not wait for the taking.
        let seen = slot.peek();
        let bit = shard.take_lowest(free).map_err(|_| None)?;
        slot.begin_fresh(seen).ok_or(Some(bit))
    }

    /// Begins a round on a source that is home in any shard, `own` last: there was none to be had easily.
    /// `taken` is a bit of that which was.
    #[cold]
    #[inline(never)]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    fn lend(&self, own: usize, taken: Option<u32>) -> Option<SlotRef<T, E>> {
        if let Some(bit) = taken {
            let slot = self.begin(self.shard(own), bit);
            if slot.is_some() {
                return slot;
            }
        }
        for turn in 1..=self.shards.len() {
            let shard = self.shard((own + turn) & (self.shards.len() - 1));
            while let Some(bit) = shard.take() {
                if let Some(slot) = self.begin(shard, bit) {
                    return Some(slot);
                }
            }
        }
        None
    }

    /// The shard of a number that was masked to be one: there are a power of two.
    #[inline(always)]
    fn shard(&self, number: usize) -> &Shard {
        // SAFETY: alive while a handle is, and in bounds.
        unsafe { &*storage::nth(self.shards, number) }
    }

    /// Begins a round on the slot of a bit that was taken out; none if it is retired.
    #[cfg_attr(feature = "diagnostics", track_caller)]
    fn begin(&self, shard: &Shard, bit: u32) -> Option<SlotRef<T, E>> {
        let slot = Self::slot(shard.slot(bit)).begin_rented();
        if slot.is_none() {
            self.retire(shard, bit);
        }
        slot
    }

    /// Leaves a slot whose versions are used up out for ever.
    #[cold]
    fn retire(&self, shard: &Shard, bit: u32) {
        shard.retire(bit);
        #[cfg(feature = "std")]
        self.inner().owner.waiting.give_up(self.shards());
    }

    #[cold]
    fn why_not(&self) -> RentError {
        if self.is_closing() {
            RentError::Closed
        } else if self.serving() == 0 && !self.slots.is_empty() {
            RentError::Retired
        } else {
            RentError::Exhausted
        }
    }

    /// The slots that are out.
    pub(crate) fn out(&self) -> impl Iterator<Item = SlotRef<T, E>> {
        self.shards().iter().flat_map(|shard| {
            let out = shard.out();
            out.map(|bit| Self::slot(shard.slot(bit)))
        })
    }

    /// How many sources are not retired.
    fn serving(&self) -> usize {
        self.shards().iter().map(|shard| shard.usage().0).sum()
    }

    #[inline(never)]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    fn overflow(&self) -> SlotRef<T, E> {
        // ORDERING: Relaxed; a statistic.
        self.inner().overflowed.fetch_add(1, Ordering::Relaxed);
        trace::overflowed();
        let slot = boxed_slot();
        if self.is_closing() {
            slot.close();
        }
        slot
    }

    by_token! {
        "completion_core::Pool::<u32, ()>::new()", "rent()",
        /// What is done about a token whose round is over.
        fn count_stale(&self) {
            // ORDERING: Relaxed; a statistic.
            self.inner().stale.fetch_add(1, Ordering::Relaxed);
            trace::stale();
        }
    }

    fn named(&self, token: Token) -> Option<SlotRef<T, E>> {
        (token.index() < self.slots.len()).then(|| self.nth(token.index()))
    }

    /// The pool's slot of this number.
    fn nth(&self, number: usize) -> SlotRef<T, E> {
        let padded = storage::nth(self.slots, number);
        // SAFETY: a pointer into the slots.
        Self::slot(unsafe { NonNull::new_unchecked(padded) })
    }

    /// `Padded` wraps the slot alone, which is alive while a handle is.
    #[inline(always)]
    fn slot(padded: NonNull<Padded<T, E>>) -> SlotRef<T, E> {
        SlotRef::new(padded.cast::<Slot<T, E>>())
    }
}

/// A round on a slot of its own.
#[cfg_attr(feature = "diagnostics", track_caller)]
pub(crate) fn boxed<T, E>() -> Round<'static, T, E> {
    let slot = boxed_slot();
    (Completer::new(slot), Completion::new(slot))
}

/// A slot with a round begun on it, which is freed at the round's end.
#[cfg_attr(feature = "diagnostics", track_caller)]
fn boxed_slot<T, E>() -> SlotRef<T, E> {
    let begun = Word::NEW.begun();
    let slot = Box::write(Box::new_uninit(), Slot::new(Home::BOXED, begun));
    SlotRef::new(NonNull::from(Box::leak(slot))).begin_begun(begun)
}

impl<T, E> Clone for Pool<T, E> {
    /// Another handle to the same sources.
    ///
    /// # Panics
    ///
    /// If `isize::MAX` handles were made and forgotten: a count that wraps would free the pool early.
    fn clone(&self) -> Self {
        // ORDERING: Relaxed; the handle that is cloned keeps the pool alive meanwhile.
        let handles = self.inner().handles.fetch_add(1, Ordering::Relaxed);
        // Made before the check, so that its drop takes the count back if the check fails.
        let clone = Self { ..*self };
        assert!(
            handles < isize::MAX.cast_unsigned(),
            "too many handles to one pool"
        );
        clone
    }
}

impl<T, E> Drop for Pool<T, E> {
    fn drop(&mut self) {
        // ORDERING: AcqRel. Release: [P9] what was done by this handle happens before the closing.
        // Acquire: if it is the last one, so does what was done by the others.
        if self.inner().handles.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        for n in 0..self.shards.len() {
            // SAFETY: alive until the last shard is whole; no handle is left to rent.
            unsafe { Shard::abandon(storage::nth(self.shards, n)) };
        }
    }
}

impl<T, E> Default for Pool<T, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> fmt::Debug for Pool<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
