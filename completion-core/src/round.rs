//! The protocol: what each party does to a slot in one round, written once for every handle.
//!
//! [`crate::state`] holds the tables that these functions run; `docs/protocol.md` holds the argument.
//! `[P1]` and so on name the pairs of orderings listed there.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::task::Waker;

use crate::completer::Completer;
use crate::completion::Completion;
use crate::error::{CompletionError, Rejected, Rejection};
use crate::slot::{Carry, Failure, Slot, Value};
use crate::state::{Ending, Wake, Word};
use crate::sync::{AtomicRaw, Ordering};
use crate::token::{Status, Token};

/// Both handles of one round.
pub type Round<'a, T, E> = (Completer<'a, T, E>, Completion<'a, T, E>);

/// How a round ends for its consumer.
pub(crate) type Outcome<T, E> = Result<T, CompletionError<E>>;

/// A party's pointer to its slot.
///
/// Invariant: the slot is alive while the holder's presence bit is set, or while its owner (a pool or
/// a source) is borrowed. Functions that take `self` and clear the presence bit are the last to use
/// it. A pointer, not a reference: a peer may free the slot while such a function is still running.
pub(crate) struct SlotRef<T, E> {
    slot: NonNull<Slot<T, E>>,
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
            owns: PhantomData,
        }
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
    fn waker(&self) -> &crate::slot::WakerWords {
        // SAFETY: alive by the invariant; only the two atomics are borrowed.
        unsafe { &(*self.as_ptr()).waker }
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

/// Beginning.
impl<T, E> SlotRef<T, E> {
    /// Begins a round on a slot that is the caller's alone; false if it is retired, or if handles of
    /// its last round were forgotten.
    #[inline(always)]
    pub(crate) fn begin_owned(self) -> bool {
        let word = self.peek();
        let idle = word.is_idle();
        if idle {
            self.begin_from(word);
        }
        idle
    }

    #[inline(always)]
    fn begin_from(self, word: Word) {
        // ORDERING: Relaxed; the two handles are created here and move to other threads only with a
        // happens-before edge of their own, and a stale token that reads this word touches nothing.
        self.state().store(word.begun().raw(), Ordering::Relaxed);
    }

    /// Begins a round on a slot that was taken out of its shard, hence is idle or retired; false if
    /// it is retired. Counted.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn begin_rented(self) -> bool {
        let word = self.peek();
        if word.is_retired() {
            return false;
        }
        self.begin_from(word);
        // SAFETY: alive by the invariant; only the counter is borrowed.
        let rents = unsafe { &(*self.as_ptr()).rents };
        // ORDERING: Relaxed, twice; a statistic that only the slot's renter writes.
        rents.store(
            rents.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
        true
    }

    /// Begins a round on a slot that others may begin too; else the word that forbids it.
    #[inline]
    pub(crate) fn begin_contended(self) -> Result<(), Word> {
        let word = self.peek();
        if !word.is_idle() {
            return Err(word);
        }
        // ORDERING: Relaxed; [P6] either handle's first act is to load the word with an acquire, and
        // this exchange continues the release sequence of `release`. On failure nothing is touched.
        self.exchange(word, word.begun(), Ordering::Relaxed, Ordering::Relaxed)
    }
}

/// Producing.
impl<T, E> SlotRef<T, E> {
    /// Writes the payload and ends the round. The caller holds `PRODUCER` and leaves.
    #[inline(always)]
    pub(crate) fn produce<C: Carry<T, E>>(self, carried: C) -> Result<(), C> {
        let word = self.word();
        if !word.is_pending() {
            self.leave(Word::PRODUCER);
            return Err(carried);
        }
        // SAFETY: alive by the invariant; the payload is the holder's of `PRODUCER`.
        unsafe { Slot::write(self.as_ptr(), carried) };
        if self.end(word, C::ENDING, Word::is_pending).is_err() {
            // SAFETY: as above, and `carried` went in three lines ago.
            let carried = unsafe { Slot::read(self.as_ptr()) };
            self.leave(Word::PRODUCER);
            return Err(carried);
        }
        Ok(())
    }

    /// Ends the round without a payload. The caller holds `PRODUCER` and leaves; false if the round
    /// was over already.
    #[inline(always)]
    pub(crate) fn produce_nothing(self, ending: Ending) -> bool {
        let ended = self.end(self.word(), ending, Word::is_pending).is_ok();
        if !ended {
            self.leave(Word::PRODUCER);
        }
        ended
    }

    /// The publishing step: from a word that `admits` to its ending, and the waker out. After it the
    /// slot is touched no more, except under `TAKING`.
    #[inline(always)]
    fn end(
        self,
        mut word: Word,
        ending: Ending,
        admits: impl Fn(Word) -> bool,
    ) -> Result<(), Word> {
        while admits(word) {
            // A guess until the exchange succeeds: had the consumer taken these words back or
            // replaced them since `word` was read, the word's `WAITING` or generation would differ.
            let copied = word.is_waiting().then(|| self.waker().copy());
            // ORDERING: AcqRel. Release: [P1] the payload goes to the consumer, and [P3] the copy
            // above happens before the next round overwrites the words. Acquire: [P2] a saturated
            // generation may have been registered again since `word` was read, as the same word.
            // Acquire on failure: the next turn reads waker words on the strength of it.
            match self.exchange(
                word,
                word.ended(ending),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(()) => {
                    match (word.wake(), copied) {
                        (Wake::Nobody, _) | (Wake::Copied, None) => {}
                        // SAFETY: the exchange found the generation that was copied, and took it.
                        (Wake::Copied, Some(copied)) => unsafe { copied.into_waker() }.wake(),
                        (Wake::TakeThenLeave, _) => self.take_waker_and_leave().wake(),
                    }
                    return Ok(());
                }
                Err(actual) => word = actual,
            }
        }
        Err(word)
    }

    /// Moves the waker out under `TAKING`: the way when generations no longer tell registrations
    /// apart, so a copy made before the exchange proves nothing.
    #[cold]
    fn take_waker_and_leave(self) -> Waker {
        let copied = self.waker().copy();
        // SAFETY: the word is ended and `TAKING` is the caller's, so the words are too.
        let waker = unsafe { copied.into_waker() };
        self.leave(Word::TAKING);
        waker
    }

    /// Clears a presence bit for good; the last to leave releases.
    #[inline(never)]
    fn leave(self, bit: crate::sync::Raw) {
        // ORDERING: AcqRel. Release: [P5] this party's accesses happen before the release by a peer.
        // Acquire: if this party is the last, the peers' accesses happen before its release.
        let word = Word::from_raw(self.state().fetch_sub(bit, Ordering::AcqRel));
        if word.is_alone(bit) {
            self.release(word);
        }
    }

    /// Unique to Shared; the version that names the round.
    #[inline]
    pub(crate) fn share(self) -> u64 {
        // ORDERING: AcqRel. Release: [P4] this side's accesses happen before those of any claimer.
        // Acquire: [P5] if the consumer has left, its accesses happen before the release below.
        let word = Word::from_raw(self.state().fetch_add(Word::SHARE, Ordering::AcqRel));
        if word.is_alone(Word::PRODUCER) {
            self.release(Word::from_raw(word.raw() + Word::SHARE));
        }
        word.version()
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
            if let Some(reason) = Self::refusal(word, token) {
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
                let admits = |word| Self::refusal(word, token).is_none();
                match slot.end(slot.word(), Ending::Cancelled, admits) {
                    Ok(()) => return Ok(()),
                    Err(word) => Self::refusal(word, token).unwrap_or(Rejection::Lost),
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
            Some(Ending::Cancelled | Ending::Abandoned) => Status::Cancelled,
        }
    }

    fn refusal(word: Word, token: Token) -> Option<Rejection> {
        if !word.is_round_of(token.version()) {
            Some(Rejection::Stale)
        } else if word.is_deserted() {
            Some(Rejection::Closed)
        } else if !word.is_open() {
            Some(Rejection::Lost)
        } else {
            None
        }
    }
}

/// Consuming. The caller holds `CONSUMER`.
impl<T, E> SlotRef<T, E> {
    /// Takes the outcome, or sees to it that `waker` is woken when there is one.
    #[inline(always)]
    pub(crate) fn poll(self, waker: &Waker) -> Option<Outcome<T, E>> {
        let mut word = self.word();
        if word.is_pending() {
            if word.is_waiting() && self.waker().will_wake(waker) {
                return None;
            }
            word = self.register(word, waker)?;
        }
        Some(self.take(word))
    }

    /// The outcome, if there is one.
    #[inline]
    pub(crate) fn try_take(self) -> Option<Outcome<T, E>> {
        let word = self.word();
        (!word.is_pending()).then(|| self.take(word))
    }

    /// Replaces the waker; the word, if the round ended meanwhile.
    #[inline(never)]
    fn register(self, mut word: Word, waker: &Waker) -> Option<Word> {
        // Foreign code, before any step: it may panic; if it ends this round, the exchange fails.
        let fresh = waker.clone();
        let replaced = loop {
            if !word.is_pending() {
                return Some(word);
            }
            if !word.is_waiting() {
                break None;
            }
            let copied = self.waker().copy();
            // ORDERING: Relaxed; the words are this side's own, and a publisher that reads them
            // while they change fails its exchange. Acquire on failure: [P1] the ending's payload.
            match self.exchange(
                word,
                word.deregistered(),
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(()) => {
                    word = word.deregistered();
                    // SAFETY: this exchange cleared `WAITING`, so the registration is owned here.
                    break Some(unsafe { copied.into_waker() });
                }
                Err(actual) => word = actual,
            }
        };
        self.waker().fill(fresh);
        loop {
            // ORDERING: Release; [P2] the words and the waker behind them go to the publisher.
            // Acquire on failure: [P1] the ending's payload.
            match self.exchange(
                word,
                word.registered(),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(()) => {
                    drop(replaced);
                    return None;
                }
                Err(actual) if actual.is_pending() => word = actual,
                Err(actual) => {
                    let copied = self.waker().copy();
                    // SAFETY: filled above and never registered, so no publisher took it.
                    drop(unsafe { copied.into_waker() });
                    return Some(actual);
                }
            }
        }
    }

    /// Moves the outcome out of an ended round and leaves.
    #[inline(always)]
    fn take(self, word: Word) -> Outcome<T, E> {
        let outcome = match word.ending() {
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
        };
        if word.is_alone(Word::CONSUMER) {
            self.release(word);
        } else {
            self.leave(Word::CONSUMER);
        }
        outcome
    }

    /// Leaves without waiting any longer: cancels a pending round, drops an outcome.
    #[inline(never)]
    pub(crate) fn drop_consumer(self) {
        let mut word = self.word();
        while word.is_pending() {
            let copied = self.waker().copy();
            // ORDERING: Release; [P5], [P6] this side's accesses happen before the release by the
            // producer, or before the next round. Acquire on failure: [P1] the ending's payload.
            match self.exchange(word, word.dropped(), Ordering::Release, Ordering::Acquire) {
                Ok(()) => {
                    if word.is_alone(Word::CONSUMER) {
                        self.go_home();
                    }
                    if word.is_waiting() {
                        // SAFETY: this exchange cleared `WAITING`, so the registration is owned here.
                        drop(unsafe { copied.into_waker() });
                    }
                    return;
                }
                Err(actual) => word = actual,
            }
        }
        drop(self.take(word));
    }
}

/// Releasing. The caller is alone with the slot.
impl<T, E> SlotRef<T, E> {
    #[inline(always)]
    fn release(self, word: Word) {
        // ORDERING: Release; [P6] everything done in this round happens before the next one, which
        // begins with an acquire of this word, or of the free bits.
        self.state()
            .store(word.next_round().raw(), Ordering::Release);
        self.go_home();
    }

    /// Puts an idle slot back where it belongs.
    #[inline(always)]
    fn go_home(self) {
        #[cfg(feature = "alloc")]
        {
            use crate::home::Place;

            // SAFETY: alive: in place by its borrow, boxed or pooled because it is not yet given back.
            match unsafe { (*self.as_ptr()).home }.place() {
                // SAFETY: the bit is this slot's, is out, and is the caller's to put back.
                Place::Pooled(shard, bit) => unsafe { crate::shard::Shard::put(shard, bit) },
                Place::Source => {}
                // SAFETY: a boxed slot comes from `Box::into_raw`, and its one round is over.
                Place::Boxed => drop(unsafe { alloc::boxed::Box::from_raw(self.as_ptr()) }),
            }
        }
    }
}
