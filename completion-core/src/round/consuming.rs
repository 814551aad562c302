//! What the consumer does, who holds `CONSUMER`: it waits, takes the outcome, closes, or leaves.

use core::task::Waker;

use super::wakers::WakeOnDrop;
use super::{Outcome, SlotRef};
use crate::error::CompletionError;
use crate::slot::{Failure, Slot, Value};
use crate::state::{Ending, Waiter, Word};
use crate::sync::Ordering;

impl<T, E> SlotRef<T, E> {
    /// Takes the outcome, or sees to it that `waker` is woken when there is one. Before this side leaves,
    /// which may run foreign code, the handle is to `forget` its slot.
    #[inline(always)]
    pub(crate) fn poll(self, waker: &Waker, forget: impl FnOnce()) -> Option<Outcome<T, E>> {
        let word = self.word();
        if word == self.in_shape(word, Word::SUCCEEDED) {
            return Some(self.take_commonly(word, Word::SUCCEEDED, forget));
        }
        if word == self.in_shape(word, Word::FRESH) {
            self.waiter().fill(waker.clone());
            let fresh = self.in_shape(word, Word::FRESH);
            let Err(actual) = self.enlist_once::<Waiter>(fresh, Word::FRESH) else {
                return None;
            };
            let ended = self.enlist::<Waiter>(actual)?;
            return Some(self.take(ended, forget));
        }
        if word == self.in_shape(word, Word::ABANDONED) {
            return Some(self.take_commonly(word, Word::ABANDONED, forget));
        }
        let ended = self.poll_carefully(word, waker)?;
        Some(self.take(ended, forget))
    }

    /// The word, if the round has ended; else sees to it that `waker` is woken when it has.
    #[inline(never)]
    fn poll_carefully(self, word: Word, waker: &Waker) -> Option<Word> {
        if !word.is_pending() {
            Some(word)
        } else if word.is_waiting() && self.waiter().will_wake(waker) {
            None
        } else {
            self.register::<Waiter>(word, waker)
        }
    }

    /// The outcome, if there is one; `forget` as in [`SlotRef::poll`].
    #[inline]
    pub(crate) fn try_take(self, forget: impl FnOnce()) -> Option<Outcome<T, E>> {
        let word = self.word();
        (!word.is_pending()).then(|| self.take(word, forget))
    }

    /// Ends a pending round as cancelled, and stays; false if it was over already.
    pub(crate) fn close(self) -> bool {
        let Some((held, [_waiter, watcher])) = self.close_silently() else {
            return false;
        };
        if held {
            self.report_held();
        }
        if let Some(watcher) = watcher {
            watcher.wake();
        }
        true
    }

    /// Closes, if the round is pending; whether it is held now. Moves both wakers out: this side's, and
    /// the completer's.
    fn close_silently(self) -> Option<(bool, [Option<Waker>; 2])> {
        let mut word = self.word();
        while word.is_pending() {
            // ORDERING: Acquire; [P10] the completer's waker, which may have been registered again since
            // `word` was read, as the same word. Relaxed on failure: nothing was gained, and whoever takes
            // the outcome loads the word for it.
            match self.exchange(word, word.closed(), Ordering::Acquire, Ordering::Relaxed) {
                Ok(()) => {
                    // SAFETY: this exchange emptied the words, if they were filled.
                    let wakers = unsafe { self.move_out(word) };
                    return Some((word.closed().is_held(), wakers));
                }
                Err(actual) => word = actual,
            }
        }
        None
    }

    /// Moves the outcome out of an ended round, and leaves. Making it may run foreign code: if that
    /// panics, nothing has changed.
    #[inline(always)]
    pub(super) fn take(self, word: Word, forget: impl FnOnce()) -> Outcome<T, E> {
        let outcome = self.outcome_of(word);
        forget();
        self.depart_from(word);
        // Taken apart and put together again: so the compiler knows that it is one of these, and not the
        // lack of an outcome, which has the same place in memory.
        match outcome {
            Ok(value) => Ok(value),
            Err(error) => Err(error),
        }
    }

    /// The same from a shape of the common way.
    #[inline(always)]
    fn take_commonly(self, word: Word, shape: Word, forget: impl FnOnce()) -> Outcome<T, E> {
        let outcome = self.outcome(shape);
        forget();
        self.depart(self.in_shape(word, shape), shape, Word::CONSUMER);
        outcome
    }

    #[inline(never)]
    fn outcome_of(self, word: Word) -> Outcome<T, E> {
        self.outcome(word)
    }

    #[inline(never)]
    fn depart_from(self, word: Word) {
        self.depart(word, word, Word::CONSUMER);
    }

    #[inline(always)]
    fn outcome(self, word: Word) -> Outcome<T, E> {
        match word.ending() {
            // SAFETY: alive by the invariant; ended with a value, seen by an acquire, taken once.
            Some(Ending::Value) => Ok(unsafe { Slot::read::<Value<T>>(self.as_ptr()) }.0),
            Some(Ending::Error) => {
                // SAFETY: as above, with an error.
                Err(CompletionError::Failed(
                    unsafe { Slot::read::<Failure<E>>(self.as_ptr()) }.0,
                ))
            }
            Some(Ending::Cancelled) | None => Err(CompletionError::Cancelled),
            Some(Ending::Abandoned) => Err(CompletionError::Abandoned),
            Some(Ending::Closed) => Err(self.cause()),
        }
    }

    /// What the pool was closed with.
    #[cold]
    fn cause(self) -> CompletionError<E> {
        #[cfg(feature = "alloc")]
        {
            use crate::home::Place;

            // SAFETY: alive by the invariant; the field never changes.
            if let Place::Pooled(shard, _) = unsafe { (*self.as_ptr()).home }.place() {
                // SAFETY: the shard of a slot of a pool of `T` and `E`, alive while the slot is out.
                let cause = unsafe { crate::pool::cause::<T, E>(shard) };
                return cause.map_or(CompletionError::Abandoned, CompletionError::Failed);
            }
        }
        CompletionError::Cancelled
    }

    /// Leaves without waiting any longer: cancels a pending round, drops an outcome.
    #[inline(never)]
    pub(crate) fn drop_consumer(self) {
        let word = self.word();
        let first = if word == self.in_shape(word, Word::FRESH) {
            self.desert_once(self.in_shape(word, Word::FRESH), Word::FRESH)
        } else if word == self.in_shape(word, Word::AWAITED) {
            self.desert_once(self.in_shape(word, Word::AWAITED), Word::AWAITED)
        } else {
            Err(word)
        };
        if let Err(word) = first {
            self.drop_consumer_carefully(word);
        }
    }

    /// From pending and not watched to Deserted, Held or Left, with the waker.
    #[inline(always)]
    fn desert_once(self, word: Word, shape: Word) -> Result<(), Word> {
        let copied = shape.is_waiting().then(|| self.waiter().copy());
        let deserted = word.stepped(shape, Word::dropped);
        // ORDERING: Release; [P5] this side's accesses happen before the release by the producer.
        // Acquire on failure: [P1] the ending's payload.
        self.exchange(word, deserted, Ordering::Release, Ordering::Acquire)?;
        // Dropped last, also if releasing panics.
        // SAFETY: this exchange cleared `WAITING`, so the registration is owned here.
        let _waiter = copied.map(|copied| unsafe { copied.into_waker() });
        if shape.is_alone(Word::CONSUMER) {
            self.release(word, shape);
        }
        Ok(())
    }

    /// As [`SlotRef::drop_consumer`], from any word.
    #[inline(never)]
    fn drop_consumer_carefully(self, mut word: Word) {
        while word.is_pending() {
            if word.is_kept() {
                // A step more, after which this side is still present to move the watcher out, or to
                // report to the pool.
                if let Some((held, [_waiter, watcher])) = self.close_silently() {
                    let _watcher = WakeOnDrop(watcher);
                    let _leaving = Leaving(self);
                    if held {
                        self.report_held();
                    }
                    return;
                }
                word = self.word();
                continue;
            }
            match self.desert_once(word, word) {
                Ok(()) => return,
                Err(actual) => word = actual,
            }
        }
        // The cause of a pool that was closed is made for who asks for it.
        let asked = word.ending() != Some(Ending::Closed);
        let _outcome = asked.then(|| self.outcome_of(word));
        self.depart_from(word);
    }
}

/// The consumer leaves, also if foreign code panics.
struct Leaving<T, E>(SlotRef<T, E>);

impl<T, E> Drop for Leaving<T, E> {
    fn drop(&mut self) {
        self.0.leave(Word::CONSUMER);
    }
}
