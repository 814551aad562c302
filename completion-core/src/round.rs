//! The protocol: what each party does to a slot in one round, written once for every handle.
//!
//! [`crate::state`] holds the tables that these functions run; `docs/protocol.md` holds the argument.
//! `[P1]` and so on name the pairs of orderings listed there.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::task::Waker;

use crate::completer::Completer;
use crate::completion::Completion;
use crate::error::{BeginError, CompletionError, Rejected, Rejection};
use crate::slot::{Carry, Failure, Slot, Value, WakerWords};
use crate::state::{Ending, Post, Waiter, Wake, Watcher, Word, cold};
use crate::sync::{AtomicRaw, Ordering, Raw};
use crate::token::{Status, Token};
use crate::trace::{Origin, Trace};

/// Both handles of one round.
pub type Round<'a, T, E> = (Completer<'a, T, E>, Completion<'a, T, E>);

/// How a round ends for its consumer.
pub(crate) type Outcome<T, E> = Result<T, CompletionError<E>>;

/// A party's pointer to its slot, and the word with which its round began.
///
/// That word is a copy: on the common way what is found in the slot is only compared with it, and the
/// next word is made of it, so that no step waits for the one before it to reach the slot. Who acts by
/// token or from outside has none; a shape of the common way is never that of a shared round.
///
/// Invariant: the slot is alive while the holder's presence bit is set, or while its owner (a pool or
/// a source) is borrowed. Functions that take `self` and clear the presence bit are the last to use
/// it. A pointer, not a reference: a peer may free the slot while such a function is still running.
pub(crate) struct SlotRef<T, E> {
    slot: NonNull<Slot<T, E>>,
    begun: Word,
    owns: PhantomData<Slot<T, E>>,
}

impl<T, E> Clone for SlotRef<T, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, E> Copy for SlotRef<T, E> {}

impl<T, E> SlotRef<T, E> {
    #[inline(always)]
    pub(crate) fn new(slot: NonNull<Slot<T, E>>) -> Self {
        Self {
            slot,
            begun: Word::FRESH,
            owns: PhantomData,
        }
    }

    /// A pointer for the parties of the round that began with this word.
    #[inline(always)]
    fn of(self, begun: Word) -> Self {
        Self { begun, ..self }
    }

    /// The word that this round has in a shape of the common way.
    #[inline(always)]
    fn in_shape(self, shape: Word) -> Word {
        self.begun.stepped(Word::FRESH, |_| shape)
    }

    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut Slot<T, E> {
        self.slot.as_ptr()
    }

    #[inline(always)]
    fn state(&self) -> &AtomicRaw {
        // SAFETY: alive by the invariant; only the atomic is borrowed, and only for one operation.
        unsafe { &(*self.as_ptr()).state }
    }

    #[inline(always)]
    fn waiter(&self) -> &WakerWords {
        // SAFETY: alive by the invariant; only the two atomics are borrowed.
        unsafe { &(*self.as_ptr()).waiter }
    }

    #[inline(always)]
    fn watcher(&self) -> &WakerWords {
        // SAFETY: alive by the invariant; only the two atomics are borrowed.
        unsafe { &(*self.as_ptr()).watcher }
    }

    #[inline(always)]
    fn exchange(
        &self,
        from: Word,
        to: Word,
        success: Ordering,
        failure: Ordering,
    ) -> Result<(), Word> {
        match self
            .state()
            .compare_exchange(from.raw(), to.raw(), success, failure)
        {
            Ok(_) => Ok(()),
            Err(actual) => Err(Word::from_raw(actual)),
        }
    }

    /// The word now, with whatever its last writer published.
    #[inline(always)]
    pub(crate) fn word(&self) -> Word {
        // ORDERING: Acquire; [P1] an ending comes with its payload, [P2] a registration with its
        // waker words, [P3] a departed peer with its last accesses.
        Word::from_raw(self.state().load(Ordering::Acquire))
    }

    /// The word now, for a hint or a question that touches no other field.
    #[inline(always)]
    pub(crate) fn peek(&self) -> Word {
        // ORDERING: Relaxed; nothing else is read on the strength of the answer.
        Word::from_raw(self.state().load(Ordering::Relaxed))
    }
}

/// Diagnostics.
impl<T, E> SlotRef<T, E> {
    #[inline(always)]
    fn trace(&self) -> &Trace {
        // SAFETY: alive by the invariant; only this field is borrowed.
        unsafe { &(*self.as_ptr()).trace }
    }

    /// The number by which a token finds the slot; none for a slot that is freed while tokens of its round
    /// may still be about. The caller is a party of the round.
    pub(crate) fn index(self) -> Option<u16> {
        // SAFETY: alive by the invariant; the field never changes.
        let home = unsafe { (*self.as_ptr()).home };
        #[cfg(not(feature = "alloc"))]
        return Some(home.index());
        #[cfg(feature = "alloc")]
        match home.place() {
            crate::home::Place::Source(index) => Some(index),
            crate::home::Place::Boxed => None,
            crate::home::Place::Pooled(shard, bit) => {
                // SAFETY: alive while the slot is out, which is one of its.
                Some(unsafe { &*shard }.index_of(bit))
            }
        }
    }

    /// Where and when the round began.
    #[inline(always)]
    pub(crate) fn origin(self) -> Origin {
        self.trace().origin()
    }
}

/// A waker's two words in a slot, and the bit that says whether they are filled.
trait Words: Post {
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

/// Beginning.
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

/// Producing.
impl<T, E> SlotRef<T, E> {
    /// Writes the payload and ends the round. The caller holds `PRODUCER` and leaves.
    #[inline(always)]
    pub(crate) fn produce<C: Carry<T, E>>(self, carried: C) -> Result<(), C> {
        let word = self.word();
        let first = if word == self.in_shape(Word::FRESH) {
            self.produce_once(self.in_shape(Word::FRESH), Word::FRESH, carried)
        } else if word == self.in_shape(Word::AWAITED) {
            cold();
            self.produce_once(self.in_shape(Word::AWAITED), Word::AWAITED, carried)
        } else if word == self.in_shape(Word::DESERTED) {
            self.depart(
                self.in_shape(Word::DESERTED),
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
        let first = if word == self.in_shape(Word::FRESH) {
            self.end_commonly(self.in_shape(Word::FRESH), Word::FRESH, ending)
        } else if word == self.in_shape(Word::AWAITED) {
            self.end_commonly(self.in_shape(Word::AWAITED), Word::AWAITED, ending)
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
    fn end(
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
        self.end_once(from, self.in_shape(shape.ended(ending)), shape.wake())
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

/// Wakes at the end, also if what comes before panics.
struct WakeOnDrop(Option<Waker>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Waker::wake);
    }
}

/// Both sides: a waker's way in and back out.
impl<T, E> SlotRef<T, E> {
    /// Puts a waker in the place of its owner's last one; the word, if the round ended meanwhile.
    #[inline(always)]
    fn register<P: Words>(self, mut word: Word, waker: &Waker) -> Option<Word> {
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
    fn enlist<P: Words>(self, mut word: Word) -> Option<Word> {
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
    fn enlist_once<P: Words>(self, word: Word, shape: Word) -> Result<(), Word> {
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
    unsafe fn move_out(self, word: Word) -> [Option<Waker>; 2] {
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
    fn withdraw<P: Words>(self, word: &mut Word) -> Option<Waker> {
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

/// Producing by token: on the slot that it names, if any, while its owner is borrowed. The caller is no
/// party of the round.
impl<T, E> SlotRef<T, E> {
    /// Claims the round that `token` names, then completes it.
    pub(crate) fn complete_named(
        named: Option<Self>,
        token: Token,
        value: T,
    ) -> Result<(), Rejected<T>> {
        Self::produce_named(named, token, Value(value)).map_err(|rejected| rejected.map(|v| v.0))
    }

    /// Claims the round that `token` names, then fails it.
    pub(crate) fn fail_named(
        named: Option<Self>,
        token: Token,
        error: E,
    ) -> Result<(), Rejected<E>> {
        Self::produce_named(named, token, Failure(error)).map_err(|rejected| rejected.map(|e| e.0))
    }

    fn produce_named<C: Carry<T, E>>(
        named: Option<Self>,
        token: Token,
        carried: C,
    ) -> Result<(), Rejected<C>> {
        let Some(slot) = named else {
            return Err(Rejected::new(Rejection::Stale, carried));
        };
        let mut word = slot.peek();
        loop {
            if let Some(reason) = slot.refusal(word, token) {
                return Err(Rejected::new(reason, carried));
            }
            // ORDERING: Relaxed; [P4] `produce` begins by loading the word with an acquire, and this
            // exchange continues the release sequence of `share`. On failure nothing was gained.
            match slot.exchange(word, word.claimed(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(()) => break,
                Err(actual) => word = actual,
            }
        }
        slot.produce(carried)
            .map_err(|carried| Rejected::new(Rejection::Closed, carried))
    }

    /// Ends the round that `token` names as cancelled: claiming and publishing in one step.
    pub(crate) fn cancel_named(named: Option<Self>, token: Token) -> Result<(), Rejected<()>> {
        let reason = match named {
            None => Rejection::Stale,
            Some(slot) => {
                let admits = |word: Word| word.is_round_of(token.version()) && word.is_open();
                match slot.end(slot.word(), Ending::Cancelled, admits) {
                    Ok(()) => return Ok(()),
                    Err(word) => slot.refusal(word, token).unwrap_or(Rejection::Lost),
                }
            }
        };
        Err(Rejected::new(reason, ()))
    }

    /// What the round that `token` names has come to.
    pub(crate) fn status_named(named: Option<Self>, token: Token) -> Status {
        let Some(word) = named
            .map(|slot| slot.peek())
            .filter(|word| word.is_round_of(token.version()))
        else {
            return Status::Stale;
        };
        match word.ending() {
            None => Status::Pending,
            Some(Ending::Value) => Status::Succeeded,
            Some(Ending::Error) => Status::Failed,
            Some(Ending::Cancelled | Ending::Abandoned | Ending::Closed) => Status::Cancelled,
        }
    }

    /// Why a producer by `token` has no effect, if so. It has answered all the same: a round that is
    /// held for that is held no more.
    fn refusal(self, word: Word, token: Token) -> Option<Rejection> {
        if !word.is_round_of(token.version()) {
            Some(Rejection::Stale)
        } else if word.is_held() {
            self.let_go(word);
            Some(Rejection::Closed)
        } else if word.is_deserted() {
            Some(Rejection::Closed)
        } else if !word.is_open() {
            Some(Rejection::Lost)
        } else {
            None
        }
    }

    /// Takes the hold off a round that is held; whoever leaves last releases. Whether it was done here.
    fn let_go(self, mut word: Word) -> bool {
        let version = word.version();
        while word.is_round_of(version) && word.is_held() {
            // ORDERING: Acquire; [P5] the consumer's accesses happen before the release below. Relaxed
            // on failure: nothing was gained.
            match self.exchange(word, word.let_go(), Ordering::Acquire, Ordering::Relaxed) {
                Ok(()) => {
                    #[cfg(feature = "alloc")]
                    if let Some(holding) = self.holding() {
                        holding.one_less();
                    }
                    if word.is_held_alone() {
                        self.release(word, word);
                    }
                    return true;
                }
                Err(actual) => word = actual,
            }
        }
        false
    }
}

/// Rounds that are held.
impl<T, E> SlotRef<T, E> {
    /// What the slot's pool knows of them. The caller is present, or has the pool borrowed.
    #[cfg(feature = "alloc")]
    fn holding(&self) -> Option<&crate::pool::Holding> {
        use crate::home::Place;

        // SAFETY: alive by the invariant; the field never changes.
        let Place::Pooled(shard, _) = unsafe { (*self.as_ptr()).home }.place() else {
            return None;
        };
        // SAFETY: its pool is alive, says the caller, and so is the shard.
        let owner = unsafe { &*shard }.owner();
        // SAFETY: as above.
        Some(unsafe { &(*owner).holding })
    }

    /// Takes the hold off the round that `token` names; false if it is not held.
    #[cfg(feature = "pending-map")]
    pub(crate) fn let_go_named(named: Option<Self>, token: Token) -> bool {
        named.is_some_and(|slot| {
            let word = slot.peek();
            word.is_round_of(token.version()) && slot.let_go(word)
        })
    }

    /// The consumer's closing step left this round held: reports it to the pool. Foreign code.
    #[cold]
    fn report_held(self) {
        #[cfg(feature = "alloc")]
        if let Some(holding) = self.holding() {
            holding.one_more();
        }
    }
}

/// Ending a round from outside: by its pool, whatever its mode. The caller is no party of the round.
#[cfg(feature = "alloc")]
impl<T, E> SlotRef<T, E> {
    /// Ends the round if it is pending, and lets go of it if it is held; whether it ended here.
    pub(crate) fn shut(self) -> bool {
        let mut word = self.word();
        while word.is_pending() && !word.is_retired() {
            // ORDERING: AcqRel. Release: [P1] the pool's cause goes to the consumer. Acquire: [P2],
            // [P10] the wakers. Relaxed on failure: nothing was gained, and letting go acquires.
            match self.exchange(word, word.shut(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(()) => {
                    // SAFETY: this exchange emptied the words, if they were filled, and left `TAKING`.
                    let wakers = unsafe { self.move_out(word) }.map(WakeOnDrop);
                    if wakers.iter().any(|waker| waker.0.is_some()) {
                        self.leave(Word::TAKING);
                    }
                    return true;
                }
                Err(actual) => word = actual,
            }
        }
        if word.is_held() {
            self.let_go(word);
        }
        false
    }
}

/// Consuming. The caller holds `CONSUMER`.
impl<T, E> SlotRef<T, E> {
    /// Takes the outcome, or sees to it that `waker` is woken when there is one. Before this side leaves,
    /// which may run foreign code, the handle is to `forget` its slot.
    #[inline(always)]
    pub(crate) fn poll(self, waker: &Waker, forget: impl FnOnce()) -> Option<Outcome<T, E>> {
        let word = self.word();
        if word == self.in_shape(Word::SUCCEEDED) {
            return Some(self.take_commonly(Word::SUCCEEDED, forget));
        }
        if word == self.in_shape(Word::FRESH) {
            cold();
            self.waiter().fill(waker.clone());
            let fresh = self.in_shape(Word::FRESH);
            let Err(actual) = self.enlist_once::<Waiter>(fresh, Word::FRESH) else {
                return None;
            };
            let ended = self.enlist::<Waiter>(actual)?;
            return Some(self.take(ended, forget));
        }
        if word == self.in_shape(Word::ABANDONED) {
            return Some(self.take_commonly(Word::ABANDONED, forget));
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
    fn take(self, word: Word, forget: impl FnOnce()) -> Outcome<T, E> {
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
    fn take_commonly(self, shape: Word, forget: impl FnOnce()) -> Outcome<T, E> {
        let outcome = self.outcome(shape);
        forget();
        self.depart(self.in_shape(shape), shape, Word::CONSUMER);
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
        let first = if word == self.in_shape(Word::FRESH) {
            self.desert_once(self.in_shape(Word::FRESH), Word::FRESH)
        } else if word == self.in_shape(Word::AWAITED) {
            self.desert_once(self.in_shape(Word::AWAITED), Word::AWAITED)
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

/// Leaving and releasing.
impl<T, E> SlotRef<T, E> {
    /// Leaves an ended round, of whose word `shape` is what is known. Who is alone in a round that has
    /// ended stays so: nobody comes any more.
    #[inline(always)]
    fn depart(self, word: Word, shape: Word, bit: Raw) {
        if shape.is_alone(bit) {
            self.release(word, shape);
        } else {
            self.leave(bit);
        }
    }

    /// Clears a presence bit for good; the last to leave releases.
    #[inline(never)]
    fn leave(self, bit: Raw) {
        // ORDERING: AcqRel. Release: [P5] this party's accesses happen before the release by a peer.
        // Acquire: if this party is the last, the peers' accesses happen before its release.
        let word = Word::from_raw(self.state().fetch_sub(bit, Ordering::AcqRel));
        if word.is_alone(bit) {
            self.release(word, word);
        }
    }

    /// Makes the slot idle, and puts it back where it belongs. The caller is alone with it.
    #[inline(always)]
    fn release(self, word: Word, shape: Word) {
        let idle = word.stepped(shape, Word::next_round);
        #[cfg(feature = "alloc")]
        {
            use crate::home::Place;

            // SAFETY: alive: in place by its borrow, boxed or pooled because it is not yet given back.
            match unsafe { (*self.as_ptr()).home }.place() {
                Place::Pooled(shard, bit) => {
                    self.count();
                    self.rest(word.stepped(shape, |shape| shape.next_round().begun()));
                    // SAFETY: the bit is this slot's, is out, and is the caller's to put back.
                    unsafe { crate::shard::Shard::put(shard, 1 << bit) };
                }
                Place::Source(_) => self.rest(idle),
                Place::Boxed => {
                    // Idle, so there is nothing in it to drop.
                    self.rest(Word::NEW);
                    // SAFETY: a boxed slot comes from `Box::leak`, and its one round is over.
                    drop(unsafe { alloc::boxed::Box::from_raw(self.as_ptr()) });
                }
            }
        }
        #[cfg(not(feature = "alloc"))]
        self.rest(idle);
    }

    /// Counts a round that is over, for the pool's statistics.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    fn count(self) {
        // SAFETY: alive by the invariant; only the counter is borrowed.
        let rounds = unsafe { &(*self.as_ptr()).rounds };
        // ORDERING: Relaxed; a statistic that only who releases writes.
        rounds.store(self.rounds().wrapping_add(1), Ordering::Relaxed);
    }

    /// Rounds of a pooled slot that are over.
    #[cfg(feature = "alloc")]
    pub(crate) fn rounds(self) -> usize {
        // SAFETY: alive by the invariant; only the counter is borrowed.
        let rounds = unsafe { &(*self.as_ptr()).rounds };
        // ORDERING: Relaxed; a statistic.
        rounds.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn rest(self, word: Word) {
        // ORDERING: Release; [P6] everything done in this round happens before the next one, which
        // begins with an acquire of this word, or of the free bits.
        self.state().store(word.raw(), Ordering::Release);
    }
}
