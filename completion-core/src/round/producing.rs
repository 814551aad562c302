//! What the producer does: it completes, fails, drops, watches for the consumer's leaving, or shares.

use core::task::Waker;

use super::SlotRef;
use super::wakers::WakeOnDrop;
use crate::slot::{Carry, Slot};
use crate::state::{Ending, Wake, Watcher, Word, cold};
use crate::sync::Ordering;

impl<T, E> SlotRef<T, E> {
    /// Writes the payload and ends the round. The caller holds `PRODUCER` and leaves.
    #[inline(always)]
    pub(crate) fn produce<C: Carry<T, E>>(self, carried: C) -> Result<(), C> {
        let word = self.word();
        let first = if word == self.in_shape(word, Word::FRESH) {
            self.produce_once(self.in_shape(word, Word::FRESH), Word::FRESH, carried)
        } else if word == self.in_shape(word, Word::AWAITED) {
            self.produce_once(self.in_shape(word, Word::AWAITED), Word::AWAITED, carried)
        } else if word == self.in_shape(word, Word::DESERTED) {
            self.depart(
                self.in_shape(word, Word::DESERTED),
                Word::DESERTED,
                Word::PRODUCER,
            );
            return Err(carried);
        } else if word.is_awaited_again() {
            cold();
            self.produce_once(word, Word::AWAITED, carried)
        } else {
            return self.produce_carefully(word, carried);
        };
        first.or_else(|word| self.publish::<C>(word))
    }

    #[inline(always)]
    fn produce_once<C: Carry<T, E>>(self, from: Word, shape: Word, carried: C) -> Result<(), Word> {
        // SAFETY: alive by the invariant; the payload is the holder's of `PRODUCER`.
        unsafe { Slot::write(self.as_ptr(), carried) };
        self.end_commonly(from, shape, C::ENDING)
    }

    /// As [`SlotRef::produce`], from any word.
    #[inline(never)]
    fn produce_carefully<C: Carry<T, E>>(self, mut word: Word, carried: C) -> Result<(), C> {
        // Dropped last, also if waking the waiter panics.
        let _watcher = self.unwatch(&mut word);
        if !word.is_pending() {
            self.depart(word, word, Word::PRODUCER);
            return Err(carried);
        }
        // SAFETY: alive by the invariant; the payload is the holder's of `PRODUCER`.
        unsafe { Slot::write(self.as_ptr(), carried) };
        self.publish(word)
    }

    /// Ends the round with the payload that was written, or takes it out again. The caller holds
    /// `PRODUCER` and leaves.
    #[inline(never)]
    fn publish<C: Carry<T, E>>(self, word: Word) -> Result<(), C> {
        let Err(word) = self.end(word, C::ENDING, Word::is_pending) else {
            return Ok(());
        };
        // SAFETY: alive by the invariant; a `C` was written, and nobody took it.
        let carried = unsafe { Slot::read(self.as_ptr()) };
        self.depart(word, word, Word::PRODUCER);
        Err(carried)
    }

    /// Ends the round without a payload. The caller holds `PRODUCER` and leaves; false if the round
    /// was over already.
    #[inline(always)]
    pub(crate) fn produce_nothing(self, ending: Ending) -> bool {
        let word = self.word();
        let first = if word == self.in_shape(word, Word::FRESH) {
            self.end_commonly(self.in_shape(word, Word::FRESH), Word::FRESH, ending)
        } else if word == self.in_shape(word, Word::AWAITED) {
            self.end_commonly(self.in_shape(word, Word::AWAITED), Word::AWAITED, ending)
        } else {
            Err(word)
        };
        match first {
            Ok(()) => true,
            Err(word) => self.produce_nothing_carefully(word, ending),
        }
    }

    /// As [`SlotRef::produce_nothing`], from any word.
    #[inline(never)]
    fn produce_nothing_carefully(self, mut word: Word, ending: Ending) -> bool {
        let _watcher = self.unwatch(&mut word);
        let Err(word) = self.end(word, ending, Word::is_pending) else {
            return true;
        };
        self.depart(word, word, Word::PRODUCER);
        false
    }

    /// Ends the round, trying for as long as the word `admits` it; else the word that does not.
    #[inline(always)]
    pub(super) fn end(
        self,
        mut word: Word,
        ending: Ending,
        admits: impl Fn(Word) -> bool,
    ) -> Result<(), Word> {
        while admits(word) {
            match self.end_once(word, word.ended(ending), word.wake()) {
                Ok(()) => return Ok(()),
                Err(actual) => word = actual,
            }
        }
        Err(word)
    }

    /// Ends the round from a word that has a shape of the common way, if its generation does not matter.
    #[inline(always)]
    fn end_commonly(self, from: Word, shape: Word, ending: Ending) -> Result<(), Word> {
        self.end_once(from, self.in_shape(from, shape.ended(ending)), shape.wake())
    }

    /// The publishing step: from a pending word to its ending, and the waker out. After it the slot is
    /// touched no more, except under `TAKING`.
    #[inline(always)]
    fn end_once(self, from: Word, to: Word, wake: Wake) -> Result<(), Word> {
        // A guess until the exchange succeeds: had the consumer taken these words back or replaced
        // them since `from` was read, the word's `WAITING` or generation would differ.
        let copied = (wake == Wake::Copied).then(|| self.waiter().copy());
        // ORDERING: AcqRel. Release: [P1] the payload goes to the consumer, and [P3] the copy above
        // happens before the next round overwrites the words. Acquire: [P2] a saturated generation
        // may have been registered again since `from` was read, as the same word. Acquire on
        // failure: the next try reads waker words on the strength of it.
        self.exchange(from, to, Ordering::AcqRel, Ordering::Acquire)?;
        if let Some(copied) = copied {
            // SAFETY: the exchange found the generation that was copied, and took it.
            unsafe { copied.into_waker() }.wake();
        } else if wake == Wake::TakeThenLeave {
            self.take_waker_and_leave();
        }
        Ok(())
    }

    /// Moves the waker out under `TAKING`, and wakes: the way when generations no longer tell registrations
    /// apart, so a copy made before the exchange proves nothing.
    #[cold]
    fn take_waker_and_leave(self) {
        let copied = self.waiter().copy();
        // SAFETY: the word is ended and `TAKING` is the caller's, so the words are too.
        let _waiter = WakeOnDrop(Some(unsafe { copied.into_waker() }));
        self.leave(Word::TAKING);
    }

    /// Takes the completer's waker back, if the round is watched.
    #[inline(always)]
    fn unwatch(self, word: &mut Word) -> Option<Waker> {
        if word.is_watched() {
            self.withdraw::<Watcher>(word)
        } else {
            None
        }
    }

    /// Sees to it that the completer's waker is not woken any more, and drops it. The caller is the
    /// completer.
    #[inline(always)]
    pub(crate) fn watch_no_more(self) {
        let mut word = self.word();
        drop(self.unwatch(&mut word));
    }

    /// Unique, and not watched, to Shared, perhaps held; the version that names the round.
    #[inline]
    pub(crate) fn share(self, held: bool) -> u64 {
        let mut word = self.word();
        loop {
            let shared = word.shared(held);
            // ORDERING: AcqRel. Release: [P4] this side's accesses happen before those of any claimer.
            // Acquire: [P5] if the consumer has left, its accesses happen before the release below.
            // Relaxed on failure: nothing was gained.
            match self.exchange(word, shared, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(()) => {
                    if word.is_alone(Word::PRODUCER) {
                        self.release(shared, shared);
                    }
                    return word.version();
                }
                Err(actual) => word = actual,
            }
        }
    }

    /// Sees to it that `waker` is woken when nobody waits any more; false if that is so now. The caller
    /// is the completer.
    pub(crate) fn watch(self, waker: &Waker) -> bool {
        let word = self.word();
        if !word.is_pending() {
            return false;
        }
        let known = word.is_watched() && self.watcher().will_wake(waker);
        known || self.register::<Watcher>(word, waker).is_none()
    }
}
