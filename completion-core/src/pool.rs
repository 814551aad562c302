//! A bounded pool of sources.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;

use crate::completer::Completer;
use crate::completion::Completion;
use crate::error::{Exhausted, Rejected, Rejection};
use crate::home::Home;
use crate::round::{Round, SlotRef};
use crate::slot::Slot;
use crate::sync::{AtomicUsize, Ordering, thread_hint};
use crate::token::{Status, Token};

use crate::shard::{self, Owner, Shard};

/// A bounded pool of completion sources: one allocation in the beginning, none per round.
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
/// calls the allocator at both ends, and so does whoever is last of a pool. Free sources are found by
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

/// What all handles share. `repr(C)` puts `owner` at its address.
///
/// Shards and slots are raw: slots point to shards and shards to `owner`, and a `Box` that is moved or
/// borrowed mutably would claim to be the only way to them.
#[repr(C)]
struct Inner<T, E> {
    owner: Owner,
    shards: NonNull<[Shard]>,
    slots: NonNull<[Padded<T, E>]>,
    handles: AtomicUsize,
    overflowed: AtomicUsize,
    stale: AtomicUsize,
}

/// A slot on cache lines of its own, and at their beginning.
#[repr(C, align(64))]
struct Padded<T, E>(Slot<T, E>);

// SAFETY: a handle creates rounds, whose values and errors move between threads.
unsafe impl<T: Send, E: Send> Send for Pool<T, E> {}
// SAFETY: as above; every method that takes `&self` works on atomics and on slots it has taken out.
unsafe impl<T: Send, E: Send> Sync for Pool<T, E> {}

// Foreign code runs at quiet points only, so one that panics leaves nothing half done.
impl<T, E> UnwindSafe for Pool<T, E> {}
impl<T, E> RefUnwindSafe for Pool<T, E> {}

/// Threads that rent at once find a shard of their own up to this number, capacity permitting.
const SPREAD: usize = 8;

/// How many shards a pool of `capacity` has: a power of two, for picking one by masking.
fn shards_for(capacity: usize) -> usize {
    let needed = capacity.div_ceil(shard::SLOTS).next_power_of_two();
    needed.max(SPREAD.min(capacity.next_power_of_two()))
}

fn leak<S>(items: Vec<S>) -> NonNull<[S]> {
    NonNull::from(Box::leak(items.into_boxed_slice()))
}

impl<T, E> Pool<T, E> {
    /// What [`new`](Self::new) makes room for.
    pub const DEFAULT_CAPACITY: u16 = 256;

    /// A pool of [256](Self::DEFAULT_CAPACITY) sources.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// A pool of `capacity` sources; 0 is legal, and makes every round an overflow.
    #[must_use]
    pub fn with_capacity(capacity: u16) -> Self {
        let capacity = usize::from(capacity);
        let count = shards_for(capacity);
        let inner = NonNull::from(Box::leak(Box::new(Inner {
            owner: Owner::new(count, Inner::<T, E>::free),
            shards: leak(Vec::new()),
            slots: leak(Vec::new()),
            handles: AtomicUsize::new(1),
            overflowed: AtomicUsize::new(0),
            stale: AtomicUsize::new(0),
        })));

        let mut shards = Vec::with_capacity(count);
        let mut first = 0;
        for shard in 0..count {
            let len = capacity / count + usize::from(shard < capacity % count);
            shards.push(Shard::new(first, len, inner.as_ptr().cast::<Owner>()));
            first += len;
        }
        let shards = leak(shards);

        let mut slots = Vec::with_capacity(capacity);
        for shard in 0..count {
            let shard = Self::nth(shards, shard);
            // SAFETY: made above, and freed only with the pool.
            for bit in 0..unsafe { (*shard).len() } {
                slots.push(Padded(Slot::new(Home::pooled(shard, bit))));
            }
        }
        let slots = leak(slots);

        // SAFETY: made above, and nobody else knows of it yet.
        let all = unsafe { &mut *inner.as_ptr() };
        all.shards = shards;
        all.slots = slots;
        Self {
            inner,
            shards,
            slots,
            owns: PhantomData,
        }
    }

    /// The `n`th of some items, without a reference to them all.
    #[inline(always)]
    fn nth<S>(items: NonNull<[S]>, n: usize) -> *mut S {
        debug_assert!(n < items.len());
        // SAFETY: in bounds, say the callers.
        unsafe { items.as_ptr().cast::<S>().add(n) }
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
    pub fn rent(&self) -> Round<'static, T, E> {
        self.try_rent().unwrap_or_else(|Exhausted| self.overflow())
    }

    /// Rents a source for one round, if one is home.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if every shard, looked at in turn, had all its sources out.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::with_capacity(1);
    /// let round = pool.try_rent()?;
    /// assert!(pool.try_rent().is_err());
    /// drop(round);
    /// assert!(pool.try_rent().is_ok());
    /// # Ok::<(), completion_core::Exhausted>(())
    /// ```
    #[inline]
    pub fn try_rent(&self) -> Result<Round<'static, T, E>, Exhausted> {
        let shards = self.shards();
        let start = thread_hint();
        for turn in 0..shards.len() {
            let shard = &shards[start.wrapping_add(turn) & (shards.len() - 1)];
            while let Some(bit) = shard.take() {
                let slot = Self::nth(self.slots, shard.first() + bit as usize);
                // SAFETY: `Padded` wraps the slot alone, which is alive while a handle is.
                let slot = SlotRef::new(unsafe { NonNull::new_unchecked(slot.cast()) });
                if slot.begin_rented() {
                    return Ok((Completer::new(slot), Completion::new(slot)));
                }
                shard.retire(bit);
            }
        }
        Err(Exhausted)
    }

    #[cold]
    fn overflow(&self) -> Round<'static, T, E> {
        // ORDERING: Relaxed; a statistic.
        self.inner().overflowed.fetch_add(1, Ordering::Relaxed);
        let slot = SlotRef::new(NonNull::from(Box::leak(Box::new(Slot::new(Home::BOXED)))));
        slot.begin_owned();
        (Completer::new(slot), Completion::new(slot))
    }

    /// Completes the round that `token` names, and wakes whoever waits.
    ///
    /// Claims the round first: of all holders of tokens exactly one wins.
    ///
    /// # Errors
    ///
    /// The value comes back if another producer was first, the waiter left, or the round is over.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::new();
    /// let (completer, mut completion) = pool.rent();
    /// let id: u64 = completer.into_token()?.to_bits(); // goes out with a request
    ///
    /// let token = completion_core::Token::from_bits(id); // comes back with the reply
    /// pool.complete(token, 7)?;
    /// assert_eq!(completion.try_take(), Some(Ok(7)));
    /// assert_eq!(pool.complete(token, 8).unwrap_err().into_payload(), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn complete(&self, token: Token, value: T) -> Result<(), Rejected<T>> {
        self.counting_stale(SlotRef::complete_named(self.named(token), token, value))
    }

    /// Fails the round that `token` names, and wakes whoever waits.
    ///
    /// # Errors
    ///
    /// The error comes back if another producer was first, the waiter left, or the round is over.
    pub fn fail(&self, token: Token, error: E) -> Result<(), Rejected<E>> {
        self.counting_stale(SlotRef::fail_named(self.named(token), token, error))
    }

    /// Cancels the round that `token` names, and wakes whoever waits.
    ///
    /// # Errors
    ///
    /// If another producer was first (also one that is still writing), or the round is over.
    pub fn cancel(&self, token: Token) -> Result<(), Rejected<()>> {
        self.counting_stale(SlotRef::cancel_named(self.named(token), token))
    }

    /// What the round that `token` names has come to.
    ///
    /// A peer may move it on before the answer is read; only *stale* is final, for a token that was given
    /// out.
    #[must_use]
    pub fn status(&self, token: Token) -> Status {
        SlotRef::status_named(self.named(token), token)
    }

    fn named(&self, token: Token) -> Option<SlotRef<T, E>> {
        if token.index() >= self.slots.len() {
            return None;
        }
        let slot = Self::nth(self.slots, token.index());
        // SAFETY: `Padded` wraps the slot alone, which is alive while a handle is.
        Some(SlotRef::new(unsafe { NonNull::new_unchecked(slot.cast()) }))
    }

    fn counting_stale<P>(&self, produced: Result<(), Rejected<P>>) -> Result<(), Rejected<P>> {
        if produced
            .as_ref()
            .is_err_and(|rejected| rejected.reason() == Rejection::Stale)
        {
            // ORDERING: Relaxed; a statistic.
            self.inner().stale.fetch_add(1, Ordering::Relaxed);
        }
        produced
    }

    /// What the pool has done so far.
    ///
    /// Nothing on the way of a round counts for it: it is derived from the free bits and from what
    /// each source knows of itself. While rounds are under way the figures are of slightly different
    /// moments; at rest they are exact, except `high_water`, which is an upper bound.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let (mut capacity, mut in_use) = (0, 0);
        for shard in self.shards() {
            let (serving, out) = shard.usage();
            capacity += serving;
            in_use += out;
        }
        let (mut rented, mut high_water) = (0_u64, 0);
        for n in 0..self.slots.len() {
            // SAFETY: alive while a handle is; only the counter is borrowed.
            let rents = unsafe { &(*Self::nth(self.slots, n)).0.rents };
            // ORDERING: Relaxed; a statistic.
            let rents = rents.load(Ordering::Relaxed);
            rented += rents as u64;
            high_water += usize::from(rents != 0);
        }
        let inner = self.inner();
        PoolStats {
            capacity,
            in_use,
            high_water,
            rented,
            returned: rented.saturating_sub(in_use as u64),
            // ORDERING: Relaxed, twice; statistics.
            overflowed: inner.overflowed.load(Ordering::Relaxed) as u64,
            stale: inner.stale.load(Ordering::Relaxed) as u64,
        }
    }
}

impl<T, E> Inner<T, E> {
    /// Frees the pool whose `owner` this is.
    ///
    /// # Safety
    /// `owner` is the first field of an `Inner<T, E>` that nothing refers to any more.
    unsafe fn free(owner: *const Owner) {
        let inner = owner.cast_mut().cast::<Self>();
        // SAFETY: made by `Box::leak`, and nobody else frees it.
        let inner = unsafe { Box::from_raw(inner) };
        // SAFETY: as above; every slot is home, hence empty.
        drop(unsafe { Box::from_raw(inner.slots.as_ptr()) });
        // SAFETY: as above, and no slot is left to point to a shard.
        drop(unsafe { Box::from_raw(inner.shards.as_ptr()) });
    }
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
            // SAFETY: alive until the last shard is closed and whole; no handle is left to rent.
            unsafe { Shard::close(Self::nth(self.shards, n)) };
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

/// What a [`Pool`] has done so far; see [`Pool::stats`].
///
/// Counters wrap: per source at 2^32 on 32-bit targets, in practice never on others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PoolStats {
    /// Sources that serve. Less than asked for only when some have used up their versions.
    pub capacity: usize,
    /// Sources out just now. Rounds that overflowed are not among them.
    pub in_use: usize,
    /// How many sources were ever out: an upper bound of how many were out at once, and near it, as a
    /// shard rents its lowest free source.
    pub high_water: usize,
    /// Rounds begun on pooled sources.
    pub rented: u64,
    /// Rounds over on pooled sources.
    pub returned: u64,
    /// Rounds begun outside the pool because it was exhausted.
    pub overflowed: u64,
    /// Calls to complete, fail or cancel by a token whose round was over, or that never named one.
    pub stale: u64,
}
