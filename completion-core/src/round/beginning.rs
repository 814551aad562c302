//! How a round begins: on a slot of the caller's own, on one out of a pool, and on one that others may begin.

use super::SlotRef;
use crate::error::BeginError;
#[cfg(feature = "alloc")]
use crate::state::Word;
use crate::sync::Ordering;

impl<T, E> SlotRef<T, E> {
    /// Begins a round on a slot that is the caller's alone; none if it is retired, or if handles of its
    /// last round were forgotten.
    #[inline(always)]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub(crate) fn begin_owned(self) -> Option<Self> {
        let word = self.peek();
        if !word.is_idle() {
            return None;
        }
        // ORDERING: Relaxed; the two handles are created here and move to other threads only with a
        // happens-before edge of their own, and a stale token that reads this word touches nothing.
        self.state().store(word.begun().raw(), Ordering::Relaxed);
        self.trace().begin();
        Some(self.of(word.begun()))
    }

    /// Joins the round with which the caller has just made a slot of its own.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub(crate) fn begin_begun(self, begun: Word) -> Self {
        self.trace().begin();
        self.of(begun)
    }

    /// Joins the round of a slot that was taken out of its shard; none if it does not rest as usual, or
    /// not as it was `seen` before.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub(crate) fn begin_fresh(self, seen: Word) -> Option<Self> {
        if seen.has_shape(Word::FRESH) && seen == self.peek() {
            Some(self.begin_begun(seen))
        } else {
            None
        }
    }

    /// The same from any word; none if the slot is retired.
    #[cfg(feature = "alloc")]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub(crate) fn begin_rented(self) -> Option<Self> {
        let begun = self.peek().begun_at_rest()?;
        Some(self.begin_begun(begun))
    }

    /// Begins a round on a slot that others may begin too.
    #[inline]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub(crate) fn begin_contended(self) -> Result<Self, BeginError> {
        let word = self.peek();
        if word.is_retired() {
            return Err(BeginError::Retired);
        }
        if !word.is_idle() {
            return Err(BeginError::Lent);
        }
        // ORDERING: Relaxed; [P6] either handle's first act is to load the word with an acquire, and
        // this exchange continues the release sequence of `release`. On failure nothing is touched.
        self.exchange(word, word.begun(), Ordering::Relaxed, Ordering::Relaxed)
            .map_err(|_| BeginError::Lent)?;
        self.trace().begin();
        Ok(self.of(word.begun()))
    }
}
