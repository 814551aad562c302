//! Waiting for a source.
//!
//! Nobody pays for this who does not wait. The first to wait sets a flag in every shard's word, which a
//! return finds in the step that it makes anyway; it then hands its slot to who waits longest, through
//! a round of its own, under no lock but that of the list. The last to be served clears the flag.

use alloc::collections::VecDeque;
use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::{Pool, boxed};
use crate::completer::Completer;
use crate::completion::Completion;
use crate::error::RentError;
use crate::round::Round;
use crate::shard::Shard;
use crate::sync::Mutex;
use crate::trace::Trace;

impl<T, E> Pool<T, E> {
    /// Rents a source for one round, and waits for one if all are out.
    ///
    /// Those who wait are served in the order in which they were first polled; a source that comes home
    /// goes straight to the first of them. (Who was given one whose versions are used up waits anew, at the end.) [`rent`](Self::rent) and [`try_rent`](Self::try_rent) do not
    /// wait, so they may be faster.
    ///
    /// # Errors
    ///
    /// [`RentError::Closed`] if the pool is closed, also while waiting; [`RentError::Retired`] when the
    /// versions of all sources are used up; [`RentError::Exhausted`] if the capacity is 0.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives its place up; a source that was just handed to it goes to the next.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::Pool;
    /// use futures_lite::future::{block_on, zip};
    ///
    /// let pool = Pool::<u32, ()>::with_capacity(1);
    /// let lent = pool.try_rent()?;
    /// let (round, ()) = block_on(zip(pool.rent_async(), async { drop(lent) }));
    /// let (completer, completion) = round?;
    /// completer.complete(7)?;
    /// assert_eq!(block_on(completion), Ok(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn rent_async(&self) -> Rent<'_, T, E> {
        let call = Trace::new();
        call.begin();
        Rent {
            pool: self,
            place: None,
            call,
        }
    }
}

/// The future of [`Pool::rent_async`].
///
/// # Cancel safety
///
/// Dropping it gives its place up; a source that was just handed to it goes to the next.
///
/// # Examples
///
/// ```
/// use completion_core::Pool;
/// use futures_lite::future::{block_on, poll_once};
///
/// let pool = Pool::<u32, ()>::with_capacity(1);
/// let lent = pool.try_rent()?;
///
/// // Who was polled first is served first.
/// let (mut one, mut other) = (pool.rent_async(), pool.rent_async());
/// assert!(block_on(poll_once(&mut other)).is_none());
/// assert!(block_on(poll_once(&mut one)).is_none());
/// drop(lent);
/// assert!(block_on(poll_once(&mut one)).is_none());
/// assert!(block_on(other).is_ok());
/// assert!(block_on(one).is_ok());
/// # Ok::<(), completion_core::RentError>(())
/// ```
#[must_use = "nothing is rented unless this is awaited"]
pub struct Rent<'p, T, E> {
    pool: &'p Pool<T, E>,
    /// A place in the list.
    place: Option<Completion<'static, Lease, ()>>,
    /// Where it was asked for.
    call: Trace,
}

impl<T, E> Rent<'_, T, E> {
    fn waiting(&self) -> &Waiting {
        &self.pool.inner().owner.waiting
    }
}

impl<T, E> Future for Rent<'_, T, E> {
    type Output = Result<Round<'static, T, E>, RentError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let pool = self.pool;
        loop {
            if let Some(place) = &mut self.place {
                let Poll::Ready(outcome) = Pin::new(place).poll(cx) else {
                    return Poll::Pending;
                };
                self.place = None;
                let Ok(lease) = outcome else {
                    return Poll::Ready(Err(pool.why_not()));
                };
                let (shard, bit) = lease.into_parts();
                // SAFETY: a shard of this pool, which a handle keeps alive.
                if let Some(slot) = pool.begin(unsafe { &*shard }, bit.trailing_zeros()) {
                    slot.trace().move_to(&self.call);
                    return Poll::Ready(Ok((Completer::new(slot), Completion::new(slot))));
                }
            } else if !pool.shards().iter().any(Shard::is_wanted) {
                match pool.try_rent() {
                    Ok(round) => {
                        round.0.slot().trace().move_to(&self.call);
                        return Poll::Ready(Ok(round));
                    }
                    Err(RentError::Exhausted) => {}
                    Err(reason) => return Poll::Ready(Err(reason)),
                }
            }
            match self.waiting().join(pool.shards()) {
                Some(place) => self.place = Some(place),
                None => return Poll::Ready(Err(pool.why_not())),
            }
        }
    }
}

impl<T, E> Drop for Rent<'_, T, E> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            drop(place);
            self.waiting().leave(self.pool.shards());
        }
    }
}

impl<T, E> fmt::Debug for Rent<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rent")
            .field("waits", &self.place.is_some())
            .finish_non_exhaustive()
    }
}

/// A slot on its way from one round to the next: out, and nobody's yet. Put back when it is dropped.
pub(crate) struct Lease {
    shard: *const Shard,
    bit: usize,
}

// SAFETY: the pointer is used for atomics only.
unsafe impl Send for Lease {}

impl Lease {
    /// # Safety
    /// As for [`Shard::put`].
    pub(crate) unsafe fn new(shard: *const Shard, bit: usize) -> Self {
        Self { shard, bit }
    }

    fn into_parts(self) -> (*const Shard, usize) {
        let parts = (self.shard, self.bit);
        mem::forget(self);
        parts
    }

    /// Hands the slot to who waits longest; it comes back if nobody does, and is then wanted no more.
    ///
    /// Nothing of the pool is borrowed when it changes hands: whoever has it may free the pool at once.
    pub(crate) fn hand_over(mut self) -> Option<Self> {
        while let Some(first) = self.first_waiting() {
            match first.complete(self) {
                Ok(()) => return None,
                Err(rejected) => self = rejected.into_payload(),
            }
        }
        Some(self)
    }

    fn first_waiting(&self) -> Option<Completer<'static, Self, ()>> {
        // SAFETY: alive while the bit is out.
        let owner = unsafe { &*self.shard }.owner();
        // SAFETY: as above.
        let owner = unsafe { &*owner };
        owner.waiting.first(owner.shards())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // SAFETY: as whoever made it said; the bit keeps the shard alive.
        unsafe { Shard::put(self.shard, self.bit) };
    }
}

/// The list of those who wait.
pub(crate) struct Waiting {
    list: Mutex<List>,
}

type Places = VecDeque<Completer<'static, Lease, ()>>;

struct List {
    places: Places,
    /// How many of them have given up, at most.
    given_up: usize,
    closed: bool,
}

impl Waiting {
    pub(crate) fn new() -> Self {
        Self {
            list: Mutex::new(List {
                places: VecDeque::new(),
                given_up: 0,
                closed: false,
            }),
        }
    }

    /// A place at the end; none if the pool is closed, or worn out.
    fn join(&self, shards: &[Shard]) -> Option<Completion<'static, Lease, ()>> {
        let (completer, completion) = boxed();
        {
            let mut list = self.list.lock();
            // Under the lock, so that whoever sends everybody away finds this place, or is found here.
            if list.closed || is_worn_out(shards) {
                return None;
            }
            list.places.push_back(completer);
            list.set_wanted(shards, true);
        }
        // What came home before the flag was set.
        for shard in shards {
            while let Some(bit) = shard.take() {
                // SAFETY: just taken out.
                let lease = unsafe { Lease::new(shard, 1 << bit) };
                if lease.hand_over().is_some() {
                    return Some(completion);
                }
            }
        }
        Some(completion)
    }

    /// The place of who waits longest; if there is no more, slots are wanted no more.
    fn first(&self, shards: &[Shard]) -> Option<Completer<'static, Lease, ()>> {
        let mut list = self.list.lock();
        let first = list.places.pop_front();
        if list.places.is_empty() {
            list.set_wanted(shards, false);
        }
        first
    }

    /// Somebody gave up. Their places go when they are half of the list, so each is moved once at most.
    fn leave(&self, shards: &[Shard]) {
        let mut list = self.list.lock();
        list.given_up += 1;
        if list.given_up * 2 > list.places.len() {
            list.given_up = 0;
            list.places.retain(|place| !place.is_closed());
            if list.places.is_empty() {
                list.set_wanted(shards, false);
            }
        }
    }

    /// Sends everybody away, and whoever comes from now on.
    pub(crate) fn close(&self, shards: &[Shard]) {
        let mut list = self.list.lock();
        list.closed = true;
        let places = list.take_all(shards);
        drop(list);
        send_away(places);
    }

    /// Sends everybody away if no slot serves any more. To be called after each that retired; under the
    /// lock, so that the last to look knows of all.
    pub(crate) fn give_up(&self, shards: &[Shard]) {
        let mut list = self.list.lock();
        if !is_worn_out(shards) {
            return;
        }
        let places = list.take_all(shards);
        drop(list);
        send_away(places);
    }
}

/// Whether all slots are retired.
fn is_worn_out(shards: &[Shard]) -> bool {
    shards.iter().all(|shard| shard.usage().0 == 0)
}

/// Foreign code: it wakes them.
fn send_away(places: Places) {
    for place in places {
        // Rejected means that it has left by itself.
        let _ = place.cancel();
    }
}

impl List {
    fn take_all(&mut self, shards: &[Shard]) -> Places {
        let places = mem::take(&mut self.places);
        self.set_wanted(shards, false);
        places
    }

    /// Under the lock, so that the flag says whether the list is empty.
    fn set_wanted(&self, shards: &[Shard], wanted: bool) {
        debug_assert!(wanted != self.places.is_empty());
        for shard in shards {
            shard.set_wanted(wanted);
        }
    }
}
