//! Finding out which rounds are not over, and which were abandoned.
//!
//! Feature `diagnostics`: every round notes the call that began it, and when. It costs two stores and a
//! reading of the clock a round, and two words a source; without the feature it costs nothing. Meant for
//! tests and for the hunt for a leak.
//!
//! # Examples
//!
//! ```
//! use completion_core::{Pool, diagnostics};
//!
//! let pool = Pool::<u32, ()>::new();
//! let (completer, completion) = pool.rent();
//! let out = pool.outstanding();
//! assert_eq!(out[0].location().unwrap().file(), file!());
//!
//! diagnostics::on_abandoned(|origin| eprintln!("abandoned: {origin}"));
//! drop(completer); // prints where the round began, and how long ago
//! # drop(completion);
//! ```

use alloc::vec::Vec;
use std::sync::RwLock;

use crate::completer::Completer;
use crate::completion::Completion;
use crate::pool::Pool;
use crate::static_pool::StaticPool;
pub use crate::trace::Origin;

static HOOK: RwLock<Option<fn(Origin)>> = RwLock::new(None);

/// Calls `hook` whenever a completer is dropped without completing, from now on and in the whole process.
///
/// It runs on the thread that drops the completer, after the round has ended. There is one hook; the next
/// call replaces it.
///
/// # Examples
///
/// ```
/// use completion_core::diagnostics::{self, Origin};
/// use std::sync::Mutex;
///
/// static ABANDONED: Mutex<Vec<Origin>> = Mutex::new(Vec::new());
/// diagnostics::on_abandoned(|origin| ABANDONED.lock().unwrap().push(origin));
///
/// let pool = completion_core::Pool::<u32, ()>::new();
/// let (completer, _completion) = pool.rent();
/// let begun = completer.origin();
/// drop(completer);
/// assert_eq!(*ABANDONED.lock().unwrap(), [begun]);
/// ```
pub fn on_abandoned(hook: fn(Origin)) {
    *HOOK.write().unwrap_or_else(|it| it.into_inner()) = Some(hook);
}

#[cold]
pub(crate) fn report_abandoned(origin: Origin) {
    let hook = *HOOK.read().unwrap_or_else(|it| it.into_inner());
    if let Some(hook) = hook {
        hook(origin);
    }
}

impl<T, E> Pool<T, E> {
    /// Where the rounds began that are not over, those that overflowed aside. A source that was handed to somebody who waits,
    /// and does not have it yet, still shows its last round.
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::new();
    /// std::mem::forget(pool.rent()); // a leak to be found
    /// for origin in pool.outstanding() {
    ///     eprintln!("not over: {origin}");
    /// }
    /// # assert_eq!(pool.outstanding().len(), 1);
    /// ```
    #[must_use]
    pub fn outstanding(&self) -> Vec<Origin> {
        self.out().map(|slot| slot.origin()).collect()
    }
}

impl<T, E, const N: usize> StaticPool<T, E, N> {
    /// Where the rounds began that are not over.
    ///
    /// ```
    /// use completion_core::{RentError, StaticPool};
    ///
    /// // Who has them all?
    /// let pool = StaticPool::<u32, (), 2>::new();
    /// let _lent = [pool.try_rent()?, pool.try_rent()?];
    /// assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
    /// assert!(pool.outstanding().all(|it| it.location().unwrap().file() == file!()));
    /// # Ok::<(), RentError>(())
    /// ```
    pub fn outstanding(&self) -> impl Iterator<Item = Origin> {
        self.out().map(|slot| slot.origin())
    }
}

impl<T, E> Completer<'_, T, E> {
    /// Where the round began.
    ///
    /// ```
    /// use std::panic::Location;
    ///
    /// // The place of whoever asked for the round, not this one.
    /// #[track_caller]
    /// fn request(pool: &completion_core::Pool<u32, ()>) -> completion_core::Round<'static, u32, ()> {
    ///     pool.rent()
    /// }
    ///
    /// let pool = completion_core::Pool::new();
    /// let (here, (completer, _completion)) = (Location::caller(), request(&pool));
    /// assert_eq!(completer.origin().location().unwrap().line(), here.line());
    /// ```
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.slot().origin()
    }
}

impl<T, E> Completion<'_, T, E> {
    /// Where the round began; none once the outcome was taken.
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::new();
    /// let (completer, mut completion) = pool.rent();
    /// if !completion.is_ready() {
    ///     eprintln!("still waiting for what began at {}", completion.origin().unwrap());
    /// }
    /// completer.complete(7)?;
    /// completion.try_take();
    /// assert_eq!(completion.origin(), None);
    /// # Ok::<(), completion_core::Rejected<u32>>(())
    /// ```
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.slot().map(|slot| slot.origin())
    }
}
