//! Closing a pool: no more rounds, and those under way end with the cause.

use alloc::boxed::Box;
use core::ptr;

use super::{Inner, Pool};
use crate::round::SlotRef;
use crate::shard::Shard;
use crate::sync::Ordering;
use crate::trace;

/// Makes the error of each round that the closing ended.
pub(super) type Cause<E> = Box<dyn Fn() -> E + Send + Sync>;

impl<T, E> Pool<T, E> {
    /// Closes the pool: rounds under way end with a copy of `cause`, and nobody rents any more.
    ///
    /// For a connection that is lost: whoever waits hears why. As [`close_with`](Self::close_with), which
    /// makes the error anew for each; see there.
    ///
    /// # Panics
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{CompletionError, Pool, RentError};
    ///
    /// let pool = Pool::<u32, &str>::new();
    /// let (completer, mut completion) = pool.rent();
    /// pool.close("connection reset");
    /// assert_eq!(
    ///     completion.try_take(),
    ///     Some(Err(CompletionError::Failed("connection reset")))
    /// );
    /// assert_eq!(completer.complete(7).unwrap_err().into_payload(), 7);
    /// assert_eq!(pool.try_rent().unwrap_err(), RentError::Closed);
    /// ```
    pub fn close(&self, cause: E) -> bool
    where
        E: Clone + Send + Sync + 'static,
    {
        self.close_with(move || cause.clone())
    }

    /// Closes the pool: rounds under way end with an error that `cause` makes, and nobody rents any
    /// more. False, and without effect, if the pool is closed already.
    ///
    /// A round ends here or by its producer, never both: a completer, or the holder of a token that is
    /// just writing, has its payload back. It learns so at once if it
    /// [watches](crate::Completer::poll_closed). Nobody is waited for. `cause` is called by each consumer
    /// that takes its outcome, on its thread, and not for those that are dropped.
    ///
    /// Rounds that overflowed are out of the pool's reach, and go on. After closing,
    /// [`rent`](Self::rent) lends rounds that are cancelled from the start.
    ///
    /// # Panics
    ///
    /// If a waker panics; the other rounds end all the same. A second one that panics meanwhile aborts
    /// the program.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{CompletionError, Pool};
    /// use std::io;
    ///
    /// let pool = Pool::<u32, io::Error>::new();
    /// let (_completer, mut completion) = pool.rent();
    /// assert!(pool.close_with(|| io::ErrorKind::BrokenPipe.into()));
    /// let outcome = completion.try_take().unwrap().unwrap_err();
    /// assert_eq!(outcome.into_failure().unwrap().kind(), io::ErrorKind::BrokenPipe);
    /// ```
    pub fn close_with(&self, cause: impl Fn() -> E + Send + Sync + 'static) -> bool {
        let cause: Cause<E> = Box::new(cause);
        let cause = Box::into_raw(Box::new(cause));
        // ORDERING: Relaxed; [P1] whoever calls it found its round closed, which this thread does
        // below, by steps that release it. On failure: the other closing's cause is not looked at.
        let first = self.inner().cause.compare_exchange(
            ptr::null_mut(),
            cause,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if first.is_err() {
            // SAFETY: from `Box::into_raw` above, and nobody else knows of it.
            drop(unsafe { Box::from_raw(cause) });
            return false;
        }
        self.end_rounds();
        trace::closed();
        true
    }

    /// Closes the pool for want of anybody who could still end its rounds: those under way are abandoned.
    /// The caller is the last to close it.
    #[cfg(feature = "pending-map")]
    pub(crate) fn abandon_rounds(&self) {
        self.end_rounds();
    }

    /// First nobody takes a slot out any more, then nobody is handed one: what is out thereafter is all
    /// there is to end. The sweep looks when it runs, and runs also if one who waits panics.
    fn end_rounds(&self) {
        self.shards().iter().for_each(Shard::close);
        let sweep = Sweep(self.out());
        #[cfg(feature = "std")]
        self.inner().owner.waiting.close(self.shards());
        sweep.run();
    }

    /// Whether the pool was closed. `true` is final.
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, &str>::new();
    /// assert!(!pool.is_closed());
    /// pool.close("over");
    /// assert!(pool.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // The last, so that all are when this says so.
        self.shards().last().is_some_and(Shard::is_closed)
    }

    /// Whether its closing has begun. Whoever was refused by a shard for that sees it here.
    pub(super) fn is_closing(&self) -> bool {
        self.shards().iter().any(Shard::is_closed)
    }
}

/// Ends rounds, the rest of them also if a waker panics.
struct Sweep<I: Iterator<Item = SlotRef<T, E>>, T, E>(I);

impl<I: Iterator<Item = SlotRef<T, E>>, T, E> Sweep<I, T, E> {
    fn run(mut self) {
        for slot in &mut self.0 {
            slot.shut();
        }
    }
}

impl<I: Iterator<Item = SlotRef<T, E>>, T, E> Drop for Sweep<I, T, E> {
    fn drop(&mut self) {
        for slot in &mut self.0 {
            slot.shut();
        }
    }
}

/// The error of a round that the closing of its pool ended; none if it was closed without one.
///
/// # Safety
/// `shard` is one of a `Pool<T, E>`, and one of its slots, which is out, was found closed with an acquire.
pub(crate) unsafe fn cause<T, E>(shard: *const Shard) -> Option<E> {
    // SAFETY: alive while one of its slots is out.
    let owner = unsafe { &*shard }.owner();
    // SAFETY: the owner is the first field of this, and alive as well.
    let inner = unsafe { &*owner.cast::<Inner<T, E>>() };
    // ORDERING: Relaxed; [P1] the slot's word came with it.
    let cause = inner.cause.load(Ordering::Relaxed);
    // SAFETY: null, or set before any round was closed, and freed with the pool.
    let cause = unsafe { cause.as_ref() }?;
    Some(cause())
}
