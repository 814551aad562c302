//! The state word of a slot: what it says, and which word may follow which. Pure functions only.
//!
//! One atomic word holds everything that two parties may race for. From the low end: three
//! *presence* bits (who may still touch the slot), two *mode* bits, the *outcome*, the *generation*
//! of the registered waker, and the *version* of the round.
//!
//! | field | bits (64 / 32) | meaning |
//! |---|---|---|
//! | `CONSUMER` | 1 | a `Completion` is lent |
//! | `PRODUCER` | 1 | somebody may write the payload: the unique `Completer`, or one claimer of a shared round |
//! | `TAKING` | 1 | a publisher is still moving the waker out |
//! | `SHARED` | 1 | the round's completer became a token |
//! | `WAITING` | 1 | the waker words hold the consumer's waker |
//! | outcome | 3 | pending, value, error, cancelled, abandoned |
//! | generation | 8 / 2 | registrations in this round, saturating |
//! | version | 48 / 22 | rounds whose token went out; all ones means retired |
//!
//! ## 1. States
//!
//! | state | presence | outcome | lasts |
//! |---|---|---|---|
//! | Idle | none | pending | until begun; Retired for ever |
//! | Unique | `CONSUMER` `PRODUCER` | pending | until completed, dropped or shared |
//! | Shared | `CONSUMER`, `SHARED` | pending | until completed, cancelled or dropped |
//! | Claimed | `CONSUMER` `PRODUCER`, `SHARED` | pending | transient: one move of the payload by the claimer |
//! | Closed | `PRODUCER` | cancelled | until the completer or claimer leaves |
//! | Ended | `CONSUMER` | ended | until the consumer takes or leaves |
//! | Taking | `TAKING`, perhaps `CONSUMER` | ended | transient: one move of the waker by the publisher |
//! | Left | none | ended | transient: until the last to leave, who is alone, stores Idle |
//!
//! `WAITING` may be set in Unique, Shared and Claimed, and nowhere else. No state has `PRODUCER` and
//! an outcome other than cancelled: a producer writes the outcome in the step in which it leaves.
//!
//! ## 2. Transitions
//!
//! | from | to | who | how | function | gains / gives up |
//! |---|---|---|---|---|---|
//! | Idle | Unique | renter, `begin` | plain store by the owner, or compare-exchange in place | [`Word::begun`] | both handles |
//! | Unique | Shared | completer | fetch-add | [`Word::SHARE`] | completer gives up the payload |
//! | Closed | Left | completer that shares | fetch-add | [`Word::SHARE`] | it releases; the token is stale from the start |
//! | Shared | Claimed | token holder | compare-exchange | [`Word::claimed`] | claimer gains the payload |
//! | Unique, Claimed | Ended (or Taking) | completer, claimer | compare-exchange | [`Word::ended`] | payload goes to the consumer, waker to the publisher |
//! | Shared | Ended (or Taking) | `cancel` by token | compare-exchange | [`Word::ended`] | waker goes to the canceller |
//! | Unique, Claimed | Closed | consumer leaves | compare-exchange | [`Word::dropped`] | consumer keeps its waker, producer keeps its payload |
//! | Shared | Idle, next version | consumer leaves | compare-exchange | [`Word::dropped`] | consumer releases |
//! | any with `CONSUMER`, pending | same, `WAITING` set or cleared | consumer | compare-exchange | [`Word::registered`], [`Word::deregistered`] | waker words |
//! | Ended | Idle, next version | consumer | plain store: it is alone | [`Word::next_round`] | consumer releases |
//! | Closed | Left | completer, claimer | fetch-sub | [`Word::PRODUCER`] | it releases |
//! | Taking | without `TAKING` or without `CONSUMER`: Ended or Left at last | publisher, consumer | fetch-sub | [`Word::TAKING`], [`Word::CONSUMER`] | the last to leave releases |
//! | Left | Idle, next version | the last to leave | plain store: it is alone | [`Word::next_round`] | the slot goes home |
//!
//! Not in the table, so impossible: Unique to Claimed (tokens exist only after [`Word::SHARE`]);
//! Ended to any other outcome (every ending step starts from *pending*); any change by a token whose
//! version differs (every step compares the whole word).
//!
//! ## 3. Who may touch which field
//!
//! | field | owner |
//! |---|---|
//! | payload | the holder of `PRODUCER` while pending or closed; the consumer once ended; whoever released, until the next round |
//! | waker words, write | the consumer while `WAITING` is clear and the outcome pending |
//! | waker words, read | additionally any publisher, *speculatively*: what it read counts only if its compare-exchange then succeeds |
//! | waker words, move out | the step that clears `WAITING`: the consumer's own, or the publisher's |
//!
//! ## 4. Who releases
//!
//! The step that leaves no presence bit. Whoever made it stores the next version's Idle word, unless the
//! step did so itself, and puts the slot back where it came from. Until Idle is stored nobody else
//! may begin, although nobody is present.
//!
//! ## 5. When foreign code runs
//!
//! `Waker::clone`: in `poll`, before any step. `Waker::wake`, `Waker::drop`, drop of a payload: after
//! the last access to the slot, on locals; a replaced waker is dropped after the new one is in place,
//! when the slot is in a stable state.

use crate::sync::{GENERATION_BITS, Raw, VERSION_BITS, widen};

const OUTCOME_SHIFT: u32 = 5;
const GENERATION_SHIFT: u32 = 8;
const VERSION_SHIFT: u32 = GENERATION_SHIFT + GENERATION_BITS;

const SHARED: Raw = 1 << 3;
const WAITING: Raw = 1 << 4;
const OUTCOME_MASK: Raw = 0b111 << OUTCOME_SHIFT;
const GENERATION_ONE: Raw = 1 << GENERATION_SHIFT;
const GENERATION_MASK: Raw = ((1 << GENERATION_BITS) - 1) << GENERATION_SHIFT;
const VERSION_ONE: Raw = 1 << VERSION_SHIFT;
const VERSION_MAX: Raw = (1 << VERSION_BITS) - 1;
const VERSION_MASK: Raw = VERSION_MAX << VERSION_SHIFT;
const PRESENT: Raw = Word::CONSUMER | Word::PRODUCER | Word::TAKING;

const _: () = assert!(VERSION_SHIFT + VERSION_BITS <= Raw::BITS);
const _: () = assert!(
    GENERATION_BITS >= 2,
    "one generation must be speculative, one saturated"
);

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ending {
    Value = 1,
    Error = 2,
    Cancelled = 3,
    Abandoned = 4,
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
    pub(crate) const CONSUMER: Raw = 1 << 0;
    /// Presence: somebody may write the payload.
    pub(crate) const PRODUCER: Raw = 1 << 1;
    /// Presence: a publisher is still moving the waker out.
    pub(crate) const TAKING: Raw = 1 << 2;
    /// Added to a Unique word it gives up uniqueness: `SHARED` in, `PRODUCER` out.
    pub(crate) const SHARE: Raw = SHARED - Self::PRODUCER;
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

    /// Ready to begin: released, and not retired. That nobody is present is not enough: the last to
    /// leave has yet to release.
    #[inline(always)]
    pub(crate) const fn is_idle(self) -> bool {
        self.0 & !VERSION_MASK == 0 && !self.is_retired()
    }

    /// The version is used up: the slot serves no more.
    #[inline(always)]
    pub(crate) const fn is_retired(self) -> bool {
        self.0 >= VERSION_MASK
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
            _ => Some(Ending::Abandoned),
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

    /// Idle to Unique.
    #[inline(always)]
    pub(crate) const fn begun(self) -> Self {
        Self(self.0 | Self::CONSUMER | Self::PRODUCER)
    }

    /// Shared to Claimed.
    #[inline(always)]
    pub(crate) const fn claimed(self) -> Self {
        Self(self.0 | Self::PRODUCER)
    }

    /// Pending to Ended, by a producer that leaves in this step or by a canceller that never came.
    #[inline(always)]
    pub(crate) const fn ended(self, ending: Ending) -> Self {
        let ended = (self.0 & !Self::PRODUCER) | ((ending as Raw) << OUTCOME_SHIFT);
        Self(match self.wake() {
            Wake::Nobody => ended,
            Wake::Copied => ended & !WAITING,
            Wake::TakeThenLeave => (ended & !WAITING) | Self::TAKING,
        })
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

    /// The waker words are full: the next generation, or the last one again.
    #[inline(always)]
    pub(crate) const fn registered(self) -> Self {
        let step = if self.is_saturated() {
            0
        } else {
            GENERATION_ONE
        };
        Self((self.0 + step) | WAITING)
    }

    /// The waker words are the consumer's again.
    #[inline(always)]
    pub(crate) const fn deregistered(self) -> Self {
        Self(self.0 & !WAITING)
    }

    /// The consumer leaves a pending round: Closed while a producer is present, else over.
    #[inline(always)]
    pub(crate) const fn dropped(self) -> Self {
        if self.is_alone(Self::CONSUMER) {
            self.next_round()
        } else {
            let left = self.0 & !(Self::CONSUMER | WAITING);
            Self(left | ((Ending::Cancelled as Raw) << OUTCOME_SHIFT))
        }
    }

    /// Idle again. Only a round whose token went out consumes a version; the last one retires the
    /// slot, so that no version ever comes twice.
    #[inline(always)]
    pub(crate) const fn next_round(self) -> Self {
        let version = self.0 & VERSION_MASK;
        Self(if self.is_shared() {
            version + VERSION_ONE
        } else {
            version
        })
    }
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Word")
            .field("version", &self.version())
            .field("consumer", &(self.0 & Self::CONSUMER != 0))
            .field("producer", &(self.0 & Self::PRODUCER != 0))
            .field("taking", &(self.0 & Self::TAKING != 0))
            .field("shared", &self.is_shared())
            .field("waiting", &self.is_waiting())
            .field("ending", &self.ending())
            .finish()
    }
}

#[cfg(test)]
#[path = "state/tests.rs"]
mod tests;
