//! The state word of a slot: what it says, and which word may follow which. Pure functions only.
//!
//! One atomic word holds everything that two parties may race for. From the low end: the *presence*
//! bits (who may still touch the slot), two *mode* bits, the *outcome*, the *generation* of the
//! registered waker, and the *version* of the round.
//!
//! | field | bits (64 / 32) | meaning |
//! |---|---|---|
//! | `CONSUMER` | 1 | a `Completion` is lent |
//! | `PRODUCER` | 1 | somebody may write the payload: the unique `Completer`, or one claimer of a shared round |
//! | `TAKING` | 1 | somebody is still moving wakers out |
//! | `KEPT` | 1 | in a unique round *watched*: the watcher words hold the completer's waker. In a shared round *held*: the token's holder has yet to answer, also if the consumer leaves |
//! | `SHARED` | 1 | the round's completer became a token |
//! | `WAITING` | 1 | the waiter words hold the consumer's waker |
//! | outcome | 3 | pending, value, error, cancelled, abandoned, closed |
//! | generation | 7 / 2 | the consumer's registrations in this round, saturating |
//! | version | 48 / 21 | rounds whose token went out |
//!
//! ## 1. States
//!
//! | state | presence | outcome | lasts |
//! |---|---|---|---|
//! | Idle | none | pending | until begun |
//! | Retired | `TAKING` | pending | for ever: the version is used up |
//! | Unique | `CONSUMER` `PRODUCER` | pending | until completed, dropped, closed or shared. A pooled slot is begun when it goes home, so it also rests in this state |
//! | Shared | `CONSUMER`, `SHARED` | pending | until completed, cancelled, closed or dropped |
//! | Claimed | `CONSUMER` `PRODUCER`, `SHARED` | pending | transient: one move of the payload by the claimer |
//! | Deserted | `PRODUCER` | cancelled | until the completer or claimer leaves |
//! | Held | `KEPT`, `SHARED` | cancelled | until a token holder answers |
//! | Closed | `CONSUMER` `PRODUCER` | cancelled by the consumer, or closed by the pool | until both have left |
//! | Ended | `CONSUMER`; held, if the consumer closed | ended | until the consumer takes or leaves |
//! | Taking | `TAKING`, perhaps others | ended | transient: one move of the wakers |
//! | Left | none | ended | transient: until the last to leave, who is alone, stores Idle, or Unique at home |
//!
//! `WAITING` may be set in Unique, Shared and Claimed, and nowhere else. Watched may be set in Unique,
//! held in Shared, Held and Ended. Whoever has `PRODUCER` writes the outcome in the step in which it leaves, so
//! beside `PRODUCER` there is no outcome but *cancelled* and *closed*.
//!
//! ## 2. Transitions
//!
//! | from | to | who | how | function | gains / gives up |
//! |---|---|---|---|---|---|
//! | Idle | Unique | `begin` | plain store by the owner, or compare-exchange in place | [`Word::begun`] | both handles |
//! | Unique, not watched | Shared, perhaps held | completer | compare-exchange | [`Word::shared`] | completer gives up the payload |
//! | Deserted, Closed | Left, Ended | completer that shares | compare-exchange | [`Word::shared`] | the last to leave releases; the token is stale from the start |
//! | Shared | Claimed, held no more | token holder | compare-exchange | [`Word::claimed`] | claimer gains the payload |
//! | Unique, Claimed | Ended (or Taking) | completer, claimer | compare-exchange | [`Word::ended`] | payload goes to the consumer, its waker to the publisher |
//! | Shared | Ended (or Taking) | `cancel` by token | compare-exchange | [`Word::ended`] | the consumer's waker goes to the canceller |
//! | any pending | Closed or Ended | consumer | compare-exchange | [`Word::closed`] | both wakers go to the consumer |
//! | any pending | the same with `TAKING`, if there are wakers | the pool that closes | compare-exchange | [`Word::shut`] | both wakers go to the pool |
//! | Unique and not watched, Claimed | Deserted | consumer leaves | compare-exchange | [`Word::dropped`] | consumer keeps its waker, producer keeps its payload |
//! | Shared, not held | Left | consumer leaves | compare-exchange | [`Word::dropped`] | consumer releases |
//! | Held, or Ended and held | the same, held no more | a token holder that answers, the pool that closes | compare-exchange | [`Word::let_go`] | the last to leave releases |
//! | any with `CONSUMER`, pending | same, `WAITING` set or cleared | consumer | compare-exchange | [`Waiter`] | waiter words |
//! | Unique | same, watched or not | completer | compare-exchange | [`Watcher`] | watcher words |
//! | Ended | Idle, next version | consumer | plain store: it is alone | [`Word::next_round`] | consumer releases |
//! | Deserted, Closed, Taking, Ended and held | the same without the presence: Held or Left at last | each | fetch-sub | [`Word::PRODUCER`], [`Word::CONSUMER`], [`Word::TAKING`] | the last to leave releases |
//! | Left | Idle, next version | the last to leave | plain store: it is alone | [`Word::next_round`] | the slot goes home |
//!
//! Not in the table, so impossible: Unique to Claimed (tokens exist only after [`Word::shared`]);
//! Ended to any other outcome (every ending step starts from *pending*); any change by a token whose
//! version differs (every step compares the whole word); a watched round that is Deserted (a consumer
//! that leaves a watched or held round closes it first).
//!
//! ## 3. Who may touch which field
//!
//! | field | owner |
//! |---|---|
//! | payload | the holder of `PRODUCER` while pending, cancelled or closed; the consumer once ended otherwise; whoever released, until the next round |
//! | waiter words, write | the consumer while `WAITING` is clear and the outcome pending |
//! | waiter words, read | additionally any publisher, *speculatively*: what it read counts only if its compare-exchange then succeeds |
//! | waiter words, move out | the step that clears `WAITING`: the consumer's own, the publisher's, or the pool's |
//! | watcher words | the completer while the round is pending and not watched; whoever made the step that clears watched |
//!
//! ## 4. Who releases
//!
//! The step that leaves no presence bit. Whoever made it stores the word of the next version, unless the
//! slot is freed at once, and puts the slot back where it came from. Until then nobody else may begin,
//! although nobody is present.
//!
//! ## 5. When foreign code runs
//!
//! `Waker::clone`: in `poll` and `poll_closed`, before any step. `Waker::wake`, `Waker::drop`, drop of a payload: after
//! the last access to the slot, on locals; a replaced waker is dropped after the new one is in place,
//! when the slot is in a stable state. A slot that comes home may wake who waits for one: by then no
//! handle refers to it. A pool's report of held rounds: after the consumer's closing step, and before it
//! leaves, as its presence keeps the pool alive.

use crate::sync::{GENERATION_BITS, Raw, VERSION_BITS, widen};

const OUTCOME_SHIFT: u32 = 6;
const GENERATION_SHIFT: u32 = 9;
const VERSION_SHIFT: u32 = GENERATION_SHIFT + GENERATION_BITS;

const KEPT: Raw = 1 << 3;
const SHARED: Raw = 1 << 4;
const WAITING: Raw = 1 << 5;
const OUTCOME_MASK: Raw = 0b111 << OUTCOME_SHIFT;
const GENERATION_ONE: Raw = 1 << GENERATION_SHIFT;
const GENERATION_MASK: Raw = ((1 << GENERATION_BITS) - 1) << GENERATION_SHIFT;
const VERSION_ONE: Raw = 1 << VERSION_SHIFT;
const VERSION_MAX: Raw = (1 << VERSION_BITS) - 1;
const VERSION_MASK: Raw = VERSION_MAX << VERSION_SHIFT;
const LOW: Raw = !VERSION_MASK;
const PRESENT: Raw = Word::CONSUMER | Word::PRODUCER | Word::TAKING | KEPT;

const _: () = assert!(VERSION_SHIFT + VERSION_BITS <= Raw::BITS);
const _: () = assert!(
    GENERATION_BITS >= 2,
    "one generation must be speculative, one saturated"
);

/// Tells the compiler which way is the less common one.
#[cold]
pub(crate) fn cold() {}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ending {
    Value = 1,
    Error = 2,
    Cancelled = 3,
    Abandoned = 4,
    /// By a pool that closes; the pool has the cause.
    Closed = 5,
}

/// What the publisher of an ending owes to the waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a waiter that is not woken hangs"]
pub(crate) enum Wake {
    /// Nobody waits yet.
    Nobody,
    /// The waker copied before the step is the waiter's, and now the publisher's.
    Copied,
    /// The waker words are the publisher's to move out, and it must then leave `TAKING`.
    TakeThenLeave,
}

/// One value of the state word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(Raw);

impl Word {
    /// Presence: a `Completion` is lent.
    pub(crate) const CONSUMER: Raw = 1;
    /// Presence: somebody may write the payload.
    pub(crate) const PRODUCER: Raw = 1 << 1;
    /// Presence: somebody is still moving wakers out.
    pub(crate) const TAKING: Raw = 1 << 2;
    /// The shape, which is a word without its version, of the common way: Unique, and nobody waits yet.
    pub(crate) const FRESH: Self = Self(Self::CONSUMER | Self::PRODUCER);
    /// The shape of the common way: Unique, and the consumer waits with its first waker.
    pub(crate) const AWAITED: Self = Self(Self::FRESH.0 | WAITING | GENERATION_ONE);
    /// The shape of the common way: Ended with a value, and the consumer is alone.
    pub(crate) const SUCCEEDED: Self =
        Self(Self::CONSUMER | ((Ending::Value as Raw) << OUTCOME_SHIFT));
    /// The shape of the common way on which nobody waits any more: Deserted.
    pub(crate) const DESERTED: Self =
        Self(Self::PRODUCER | ((Ending::Cancelled as Raw) << OUTCOME_SHIFT));
    /// The shape of the common way on which nothing arrives: Ended as abandoned, and the consumer is
    /// alone.
    pub(crate) const ABANDONED: Self =
        Self(Self::CONSUMER | ((Ending::Abandoned as Raw) << OUTCOME_SHIFT));
    /// A slot that was never used.
    pub(crate) const NEW: Self = Self(0);

    #[inline(always)]
    pub(crate) const fn from_raw(raw: Raw) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(crate) const fn raw(self) -> Raw {
        self.0
    }

    /// Whether this is all that the word says below the version.
    #[inline(always)]
    pub(crate) const fn has_shape(self, shape: Self) -> bool {
        self.0 & LOW == shape.0
    }

    /// Whether this is the shape [`Word::AWAITED`] but for the generation, which tells.
    #[inline(always)]
    pub(crate) const fn is_awaited_again(self) -> bool {
        if self.0 & LOW & !GENERATION_MASK != Self::AWAITED.0 & !GENERATION_MASK {
            return false;
        }
        !self.is_saturated()
    }

    /// The same round's word in this shape.
    #[inline(always)]
    pub(crate) const fn reshaped(self, shape: Self) -> Self {
        Self(self.0 & VERSION_MASK | shape.0)
    }

    /// What `step` makes of a word whose shape is known: the step is taken by the shape alone, which for
    /// a constant the compiler does.
    #[inline(always)]
    pub(crate) fn stepped(self, shape: Self, step: impl FnOnce(Self) -> Self) -> Self {
        Self(self.0 - shape.0 + step(shape).0)
    }

    /// Ready to begin: released, and not retired. That nobody is present is not enough: the last to
    /// leave has yet to release.
    #[inline(always)]
    pub(crate) const fn is_idle(self) -> bool {
        self.has_shape(Self::NEW)
    }

    /// The version is used up: the slot serves no more.
    #[inline(always)]
    pub(crate) const fn is_retired(self) -> bool {
        self.0 & (Self::TAKING | OUTCOME_MASK) == Self::TAKING
    }

    #[inline(always)]
    pub(crate) const fn is_pending(self) -> bool {
        self.0 & OUTCOME_MASK == 0
    }

    #[inline(always)]
    pub(crate) const fn is_waiting(self) -> bool {
        self.0 & WAITING != 0
    }

    #[inline(always)]
    pub(crate) const fn is_shared(self) -> bool {
        self.0 & SHARED != 0
    }

    /// Watched, or held by its token's holder, also before the consumer leaves.
    #[inline(always)]
    pub(crate) const fn is_kept(self) -> bool {
        self.0 & KEPT != 0
    }

    /// The completer's waker is in the watcher words.
    #[inline(always)]
    pub(crate) const fn is_watched(self) -> bool {
        self.0 & (KEPT | SHARED) == KEPT
    }

    /// The consumer ended the round, and the token's holder has yet to answer.
    #[inline(always)]
    pub(crate) const fn is_held(self) -> bool {
        self.0 & (KEPT | SHARED) == KEPT | SHARED && !self.is_pending()
    }

    /// Held, and nobody else is present.
    #[inline(always)]
    pub(crate) const fn is_held_alone(self) -> bool {
        self.is_held() && self.is_alone(KEPT)
    }

    /// Whether `bit` is the only presence, so that its holder is alone with the slot.
    #[inline(always)]
    pub(crate) const fn is_alone(self, bit: Raw) -> bool {
        self.0 & PRESENT == bit
    }

    /// The ending, once there is one.
    #[inline(always)]
    pub(crate) const fn ending(self) -> Option<Ending> {
        match (self.0 & OUTCOME_MASK) >> OUTCOME_SHIFT {
            0 => None,
            1 => Some(Ending::Value),
            2 => Some(Ending::Error),
            3 => Some(Ending::Cancelled),
            4 => Some(Ending::Abandoned),
            _ => Some(Ending::Closed),
        }
    }

    /// The round's number; of two rounds whose tokens went out no two have the same.
    #[inline(always)]
    pub(crate) const fn version(self) -> u64 {
        widen(self.0 >> VERSION_SHIFT)
    }

    /// Whether a token of `version` names this very round.
    #[inline(always)]
    pub(crate) const fn is_round_of(self, version: u64) -> bool {
        self.is_shared() && self.version() == version
    }

    /// The consumer left before the round ended, or before it took the outcome.
    #[inline(always)]
    pub(crate) const fn is_deserted(self) -> bool {
        self.0 & Self::CONSUMER == 0
    }

    /// Whether a token may claim or cancel: pending, and no claimer is writing.
    #[inline(always)]
    pub(crate) const fn is_open(self) -> bool {
        self.0 & (OUTCOME_MASK | Self::PRODUCER) == 0
    }

    /// No further registration can be told from the previous one.
    #[inline(always)]
    const fn is_saturated(self) -> bool {
        self.0 & GENERATION_MASK == GENERATION_MASK
    }

    /// Idle to Unique. A retired word stays as it is.
    #[inline(always)]
    pub(crate) const fn begun(self) -> Self {
        if self.is_retired() {
            self
        } else {
            Self(self.0 | Self::CONSUMER | Self::PRODUCER)
        }
    }

    /// Unique to Shared. A round that is over already has nothing to be held for.
    #[inline(always)]
    pub(crate) const fn shared(self, held: bool) -> Self {
        let kept = if held && self.is_pending() { KEPT } else { 0 };
        Self(self.0 & !Self::PRODUCER | SHARED | kept)
    }

    /// The word with which a slot rests, also if its pool has just closed it; none if it is retired.
    #[cfg(feature = "alloc")]
    pub(crate) const fn begun_at_rest(self) -> Option<Self> {
        if self.is_retired() {
            None
        } else {
            Some(self.next_round().begun())
        }
    }

    /// Shared to Claimed.
    #[inline(always)]
    pub(crate) const fn claimed(self) -> Self {
        Self((self.0 | Self::PRODUCER) & !KEPT)
    }

    const fn with(self, ending: Ending) -> Self {
        Self(self.0 | ((ending as Raw) << OUTCOME_SHIFT))
    }

    /// Pending to Ended, by a producer that leaves in this step or by a canceller that never came.
    #[inline(always)]
    pub(crate) const fn ended(self, ending: Ending) -> Self {
        let left = self.0 & !(Self::PRODUCER | KEPT | GENERATION_MASK);
        Self(match self.wake() {
            Wake::Nobody => left,
            Wake::Copied => left & !WAITING,
            Wake::TakeThenLeave => (left & !WAITING) | Self::TAKING,
        })
        .with(ending)
    }

    /// Pending to Closed or Ended, by the consumer, which stays.
    #[inline(always)]
    pub(crate) const fn closed(self) -> Self {
        let watched = if self.is_watched() { KEPT } else { 0 };
        Self(self.0 & !(WAITING | watched)).with(Ending::Cancelled)
    }

    /// Pending to Closed or Ended, by a pool, which takes part only for as long as there are wakers to
    /// be moved out.
    #[cfg(any(feature = "alloc", test))]
    #[inline(always)]
    pub(crate) const fn shut(self) -> Self {
        let taking = if self.is_waiting() || self.is_watched() {
            Self::TAKING
        } else {
            0
        };
        Self(self.0 & !(WAITING | KEPT) | taking).with(Ending::Closed)
    }

    /// Held no more.
    #[inline(always)]
    pub(crate) const fn let_go(self) -> Self {
        Self(self.0 & !KEPT)
    }

    /// What [`Word::ended`] from this word owes.
    #[inline(always)]
    pub(crate) const fn wake(self) -> Wake {
        if !self.is_waiting() {
            Wake::Nobody
        } else if self.is_saturated() {
            Wake::TakeThenLeave
        } else {
            Wake::Copied
        }
    }

    /// The consumer leaves a pending round that is not kept: to Deserted while a producer is present,
    /// else to Left.
    #[inline(always)]
    pub(crate) const fn dropped(self) -> Self {
        Self(self.0 & !(Self::CONSUMER | WAITING | GENERATION_MASK)).with(Ending::Cancelled)
    }

    /// Idle again. Only a round whose token went out consumes a version; the last one retires the
    /// slot, so that no version ever comes twice.
    #[inline(always)]
    pub(crate) const fn next_round(self) -> Self {
        let version = self.0 & VERSION_MASK;
        if !self.is_shared() {
            Self(version)
        } else if version == VERSION_MASK - VERSION_ONE {
            Self(VERSION_MASK | Self::TAKING)
        } else {
            Self(version + VERSION_ONE)
        }
    }
}

/// Whose waker it is, and by which bit the word says that it is there.
pub(crate) trait Post {
    /// Whether the words hold a waker.
    fn is_filled(word: Word) -> bool;
    /// The words were filled.
    fn filled(word: Word) -> Word;
    /// The words are their owner's again.
    fn emptied(word: Word) -> Word;
}

/// The consumer's: it waits for the outcome.
pub(crate) enum Waiter {}

/// The completer's: it watches for the consumer's leaving.
pub(crate) enum Watcher {}

impl Post for Waiter {
    #[inline(always)]
    fn is_filled(word: Word) -> bool {
        word.is_waiting()
    }

    /// The next generation, or the last one again.
    #[inline(always)]
    fn filled(word: Word) -> Word {
        if word.is_saturated() {
            cold();
            return Word(word.0 | WAITING);
        }
        Word((word.0 + GENERATION_ONE) | WAITING)
    }

    #[inline(always)]
    fn emptied(word: Word) -> Word {
        Word(word.0 & !WAITING)
    }
}

impl Post for Watcher {
    #[inline(always)]
    fn is_filled(word: Word) -> bool {
        word.is_watched()
    }

    /// No generation: nobody copies these words before they are its own.
    #[inline(always)]
    fn filled(word: Word) -> Word {
        Word(word.0 | KEPT)
    }

    #[inline(always)]
    fn emptied(word: Word) -> Word {
        Word(word.0 & !KEPT)
    }
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Word")
            .field("version", &self.version())
            .field("consumer", &(self.0 & Self::CONSUMER != 0))
            .field("producer", &(self.0 & Self::PRODUCER != 0))
            .field("taking", &(self.0 & Self::TAKING != 0))
            .field("watched", &self.is_watched())
            .field("held", &(self.is_shared() && self.0 & KEPT != 0))
            .field("shared", &self.is_shared())
            .field("waiting", &self.is_waiting())
            .field("ending", &self.ending())
            .finish()
    }
}

#[cfg(test)]
#[path = "state/tests.rs"]
mod tests;
