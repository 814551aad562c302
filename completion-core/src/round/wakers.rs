//! A waker's way into a slot and back out, the same for both sides.

use core::task::Waker;

use super::SlotRef;
use crate::slot::WakerWords;
use crate::state::{Post, Waiter, Watcher, Word};
use crate::sync::Ordering;

/// A waker's two words in a slot, and the bit that says whether they are filled.
pub(super) trait Words: Post {
    fn words<T, E>(slot: &SlotRef<T, E>) -> &WakerWords;
}

impl Words for Waiter {
    #[inline(always)]
    fn words<T, E>(slot: &SlotRef<T, E>) -> &WakerWords {
        slot.waiter()
    }
}

impl Words for Watcher {
    #[inline(always)]
    fn words<T, E>(slot: &SlotRef<T, E>) -> &WakerWords {
        slot.watcher()
    }
}

impl<T, E> SlotRef<T, E> {
    /// Puts a waker in the place of its owner's last one; the word, if the round ended meanwhile.
    #[inline(always)]
    pub(super) fn register<P: Words>(self, mut word: Word, waker: &Waker) -> Option<Word> {
        // Foreign code, before any step: it may panic; if it ends this round, the exchange fails.
        let fresh = waker.clone();
        let replaced = self.withdraw::<P>(&mut word);
        let enlist = |word| {
            P::words(&self).fill(fresh);
            match self.enlist_once::<P>(word, word) {
                Ok(()) => None,
                Err(actual) => self.enlist::<P>(actual),
            }
        };
        match replaced {
            // Dropped when the new one is in its place. The word it came out of was pending.
            Some(_replaced) => enlist(word),
            None if word.is_pending() => enlist(word),
            None => Some(word),
        }
    }

    /// Says that the words are filled; the word, if the round ended meanwhile.
    #[inline(never)]
    pub(super) fn enlist<P: Words>(self, mut word: Word) -> Option<Word> {
        while word.is_pending() {
            match self.enlist_once::<P>(word, word) {
                Ok(()) => return None,
                Err(actual) => word = actual,
            }
        }
        let copied = P::words(&self).copy();
        // SAFETY: filled by the caller and never registered, so nobody took it.
        drop(unsafe { copied.into_waker() });
        Some(word)
    }

    #[inline(always)]
    pub(super) fn enlist_once<P: Words>(self, word: Word, shape: Word) -> Result<(), Word> {
        let filled = word.stepped(shape, P::filled);
        // ORDERING: Release; [P2] the words and the waker behind them go to the publisher, [P10] or to
        // the consumer that leaves. Acquire on failure: [P1] the ending's payload.
        self.exchange(word, filled, Ordering::Release, Ordering::Acquire)
    }

    /// Moves both wakers out, the waiter's and the watcher's.
    ///
    /// # Safety
    /// The caller made the step from `word`, by which the words that were filled are empty and its own,
    /// and is present.
    pub(super) unsafe fn move_out(self, word: Word) -> [Option<Waker>; 2] {
        [
            (Waiter::is_filled(word), self.waiter()),
            (Watcher::is_filled(word), self.watcher()),
        ]
        .map(|(filled, words)| {
            let copied = filled.then(|| words.copy())?;
            // SAFETY: the words of a registration that is the caller's, as it says.
            Some(unsafe { copied.into_waker() })
        })
    }

    /// Takes the owner's own waker back, if it is still there, and brings `word` up to date.
    #[inline(always)]
    pub(super) fn withdraw<P: Words>(self, word: &mut Word) -> Option<Waker> {
        while P::is_filled(*word) {
            let copied = P::words(&self).copy();
            // ORDERING: Relaxed; the words are this side's own, and a publisher that reads them
            // while they change fails its exchange. Acquire on failure: [P1] the ending's payload.
            match self.exchange(
                *word,
                P::emptied(*word),
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(()) => {
                    *word = P::emptied(*word);
                    // SAFETY: this exchange emptied the words, so the registration is owned here.
                    return Some(unsafe { copied.into_waker() });
                }
                Err(actual) => *word = actual,
            }
        }
        None
    }
}

/// Wakes at the end, also if what comes before panics.
pub(super) struct WakeOnDrop(pub(super) Option<Waker>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Waker::wake);
    }
}
