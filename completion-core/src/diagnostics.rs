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
/// It runs on the thread that drops the completer, after the round has ended.
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
    /// Where the rounds began that are not over, those that overflowed aside.
    #[must_use]
    pub fn outstanding(&self) -> Vec<Origin> {
        self.out().map(|slot| slot.origin()).collect()
    }
}

impl<T, E, const N: usize> StaticPool<T, E, N> {
    /// Where the rounds began that are not over.
    pub fn outstanding(&self) -> impl Iterator<Item = Origin> {
        self.out().map(|slot| slot.origin())
    }
}

impl<T, E> Completer<'_, T, E> {
    /// Where the round began.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.slot().origin()
    }
}

impl<T, E> Completion<'_, T, E> {
    /// Where the round began; none once the outcome was taken.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.slot().map(|slot| slot.origin())
    }
}
